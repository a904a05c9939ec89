"""Scales a data set, killed at random moments and continued, and says how often that was.

``python fvc_kills.py METADATA OUT KILLS SEED``: the processes are forked, for starting Python takes longer than
scaling a few small videos.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from vda.errors import VdaError
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.selection import Selection


def scaling(metadata: Path, out: Path, **options: object) -> int:
    """Begin to scale in a process of its own; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        scale(metadata, out, ScaleSettings(size=64), **options)  # type: ignore[arg-type]
    except VdaError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(1)
    os._exit(0)


def ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child


def killed_within(child: int, seconds: float) -> bool:
    """Kill ``child`` after so long, unless it ends before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ended(child):
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(metadata: Path, out: Path, kills: int, seed: int) -> None:
    began = time.monotonic()
    os.waitpid(scaling(metadata, out.with_name(f"{out.name}_whole")), 0)
    whole_s = time.monotonic() - began
    moments = random.Random(seed)
    hit = sum(
        killed_within(scaling(metadata, out), moments.uniform(0, 2 * whole_s / (kills + 1))) for _ in range(kills)
    )
    halves = [scaling(metadata, out, selection=Selection(order=order)) for order in ("forward", "reverse")]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in halves]
    sys.stdout.write(f"{hit} {codes[0]} {codes[1]}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
