"""``--detach``: the same command again, without a terminal."""

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from vda.cli.options import F, together
from vda.cli.output import say
from vda.errors import SceneError
from vda.shown import quoted

_OWN = ("--detach", "--if-idle")

detach_options: Callable[[F], F] = together(
    click.option("--detach", is_flag=True, help="Return at once; the work goes on without the terminal."),
    click.option(
        "--if-idle", is_flag=True, help="With --detach: do nothing, in silence, where it already goes on."
    ),
)


def go_on_without_terminal(ctx: click.Context, roots: Sequence[Path], *, if_idle: bool) -> None:
    """Start the command of ``ctx`` detached, for the scenes in ``roots``, and say where to look."""
    from vda.launch.detached import detach
    from vda.scene.runstate import RunFiles
    from vda.scene.scene import Scene

    scene = Scene(roots[0].resolve())
    home = scene.root
    name = f"vda-{re.sub('[^A-Za-z0-9]', '-', home.name)}-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
    log = scene.detached_log_path
    arguments = [argument for argument in ctx.meta["vda.arguments"] if argument not in _OWN]
    command = [sys.executable, "-m", "vda", str(ctx.command.name), *arguments]
    try:
        for root in roots:
            files = RunFiles(Scene(root.resolve()).run_dir)
            if files.is_supervised():
                holder = files.holder()
                raise SceneError(
                    f"{root} is already being computed by process {holder.pid if holder else '?'}.",
                    f"Look at it with 'vda status {quoted(root)}', or end it with 'vda stop {quoted(root)}'.",
                )
        detached = detach(command, name, log, scene.detached_lock_path)
    except SceneError:
        if if_idle:
            return
        raise
    for sentence in detached.sentences:
        say(sentence)
    say(
        f"Look at it with 'vda status {quoted(roots[0])}' or 'vda monitor {quoted(roots[0])}'; it writes to {log}."
    )
    say(f"End it with 'vda stop {quoted(roots[0])}'.")
