"""``vda monitor``: a live view of the work and the devices."""

import json
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from vda.cli.options import EXIT_INTERRUPTED, Command, json_option
from vda.cli.types import PATH

_ENTER = "\033[?1049h\033[?25l"
_LEAVE = "\033[?25h\033[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\033[H", "\033[K", "\033[J"
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@click.command(cls=Command)
@click.argument("scene", required=False, type=PATH)
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds between looks."
)
@json_option
@click.pass_context
def monitor(ctx: click.Context, scene: Path | None, once: bool, interval: float, as_json: bool) -> None:
    """Watch the devices of this machine, and the work on SCENE, until q or Ctrl-C. It only looks.

    Example: vda monitor data/film
    """
    from vda.machine.devices import Inventory
    from vda.scene.scene import Scene
    from vda.supervisor.monitor import observe, render

    inventory = Inventory.of_this_machine()
    watched = Scene(scene) if scene else None
    if as_json:
        click.echo(json.dumps(observe(inventory, watched).to_record()))
    elif once:
        click.echo("\n".join(render(observe(inventory, watched), *_size())))
    else:
        with _screen() as is_terminal, _keys() as has_keys:
            try:
                while True:
                    _show(render(observe(inventory, watched), *_size()), is_terminal)
                    if _ends_within(interval, has_keys):
                        return
            except KeyboardInterrupt:
                ctx.exit(EXIT_INTERRUPTED)


def _size() -> tuple[int, int]:
    """Columns and lines; without a terminal nothing needs to be cut."""
    size = shutil.get_terminal_size() if sys.stdout.isatty() else os.terminal_size((1000, 1000))
    return size.columns, size.lines


def _show(lines: list[str], is_terminal: bool) -> None:
    if is_terminal:
        # Line by line over the old picture: clearing it all first would flicker.
        click.echo(_HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines[:-1]), nl=False)
        click.echo(f"{lines[-1]}{_CLEAR_LINE}{_CLEAR_BELOW}", nl=False)
    else:
        click.echo("\n".join([*lines, ""]))


@contextmanager
def _screen() -> Iterator[bool]:
    """The terminal's second screen without a cursor, given back however this ends; yield whether there is one."""
    is_terminal = sys.stdout.isatty()
    if not is_terminal:
        yield False
        return
    before = {number: signal.signal(number, _end) for number in _ENDINGS}
    click.echo(_ENTER, nl=False)
    try:
        yield True
    finally:
        # A terminal that hung up takes nothing back.
        with suppress(OSError):
            click.echo(_LEAVE, nl=False)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _keys() -> Iterator[bool]:
    """The keyboard key by key and without an echo, given back however this ends; yield whether there is one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _ends_within(seconds: float, has_keys: bool) -> bool:
    """Wait so long; return at once, and whether to end, when a key says so."""
    until = time.monotonic() + seconds
    while has_keys and (left := until - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            key = os.read(sys.stdin.fileno(), 1)
            # Nothing to read is a terminal that went away.
            if key in (b"q", b"Q", b""):
                return True
    if not has_keys:
        time.sleep(seconds)
    return False


def _end(number: int, frame: FrameType | None) -> None:
    # As an exception, so that the screen is given back; the exit code is a shell's for a signal.
    raise SystemExit(128 + number)
