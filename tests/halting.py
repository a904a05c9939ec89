"""Processes that stop themselves at a certain file, to be killed or let go on there: nobody has to be quick.

A test that looks for the moment at which a window is computed comes too late on a busy machine.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import psutil

_WHERE = """\
import sys
if {word!r} in " ".join(sys.orig_argv):
    sys.path.append({tests!r})
    from halting import halt_at
    from pathlib import Path
    halt_at(Path({marker!r}), {part!r}, {number})
"""


def halt_at(marker: Path, part: str, number: int) -> None:
    """Stop this process, or one forked from it, before its ``number``-th file gets a name with ``part`` in it.

    That happens to one of them, once: ``marker`` is there from then on, and has its id.
    """
    seen: list[str] = []

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "os.rename" or part not in Path(os.fspath(arguments[1])).name or marker.exists():
            return
        seen.append(arguments[1])
        if len(seen) == number and is_first():
            # Not by its id: another thread may be the first to stop then, and this one gives the name before.
            signal.pthread_kill(get_ident(), signal.SIGSTOP)

    def is_first() -> bool:
        try:
            with marker.open("x") as told:
                told.write(str(os.getpid()))
        except FileExistsError:
            return False
        return True

    sys.addaudithook(look)


def halting(folder: Path, word: str, part: str, number: int) -> dict[str, str]:
    """Variables with which one Python process with ``word`` in its command halts; ``folder/halted`` tells.

    Python runs a file of this name before anything else.
    """
    tests, marker = str(Path(__file__).parent), str(folder / "halted")
    code = _WHERE.format(word=word, tests=tests, marker=marker, part=part, number=number)
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}


def halted(marker: Path, goes_on: Callable[[], bool]) -> psutil.Process:
    """The process that halts, once it does; an error if it does not while ``goes_on`` is true."""
    while not is_halted(marker):
        assert goes_on(), "it ended without coming to that file"
        Event().wait(0.005)
    return psutil.Process(int(marker.read_text()))


def is_halted(marker: Path) -> bool:
    """Whether a process has halted, and nobody has killed it or let it go on."""
    try:
        return psutil.Process(int(marker.read_text())).status() == psutil.STATUS_STOPPED
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return False


def runs(process: "subprocess.Popen[Any]") -> Callable[[], bool]:
    return lambda: process.poll() is None
