"""Less and less memory for the same video: what is tried, in which order, when memory runs out.

In: how a video is to be scaled, and what scales it. Out: what came of the first way that had enough. Memory can be
a machine's or a GPU's. This file does not know what is scaled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from vda.errors import WorkError
from vda.fvc.request import Method
from vda.machine.shortage import is_out_of_memory
from vda.reporter import Reporter

T = TypeVar("T")


@dataclass(frozen=True)
class Rung:
    """One way: the method, and how many frames go through the autoencoder at once."""

    method: Method
    chunk_size: int

    def __str__(self) -> str:
        if self.method != "autoencoder":
            return self.method
        return "one frame" if self.chunk_size == 1 else f"chunks of {self.chunk_size} frames"


def rungs(method: Method, chunk_size: int) -> Iterator[Rung]:
    """Ways that need ever less: chunks half as large, one frame, and a letterbox alone."""
    while method == "autoencoder" and chunk_size > 1:
        yield Rung(method, chunk_size)
        chunk_size //= 2
    if method == "autoencoder":
        yield Rung(method, 1)
        method = "letterbox"
    yield Rung(method, 1)


def first_that_fits(ways: Iterator[Rung], attempt: Callable[[Rung], T], reporter: Reporter) -> tuple[Rung, T]:
    """Try ``ways`` until one has enough memory; ``reporter`` is told of each that has not.

    Raises ``WorkError`` where none has.
    """
    first = rung = next(ways)
    while True:
        made, reason = _tried(rung, attempt)
        if made is not None:
            return rung, made
        smaller = next(ways, None)
        if smaller is None:
            raise WorkError(
                f"Out of memory even with the least that {first.method} needs ({rung}): {reason}.",
                "Free some memory, or leave this video out.",
            )
        reporter.say(f"Out of memory with {rung}: going on with {smaller}.")
        rung = smaller


def _tried(rung: Rung, attempt: Callable[[Rung], T]) -> tuple[T | None, str]:
    """What came of it, or why memory ran out.

    An error holds the frames of all calls it came through, and they hold pictures: it must be gone before the
    next attempt, so only its text leaves here.
    """
    try:
        return attempt(rung), ""
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None, str(error).strip().split("\n")[0]
