"""Numbers handed to SLURM as job arrays: as large as it takes them, and as many as it takes.

In: numbers (chunks, or ranges of a table's rows), and how one array of them is submitted. Out: which of them were
taken. An array has indices below MaxArraySize, and a person so many jobs at once. This file does not know what a
number stands for.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from vda.launch.slurmcommands import SubmitLimitError, room_may_come
from vda.reporter import Reporter

T = TypeVar("T")
# Each try asks the controller, and it has all users to answer.
_NO_ROOM_SECONDS = 10.0
SubmitArray = Callable[[list[int], int, list[str]], str]
"""Submits some numbers as one array, given its offset and the jobs of the arrays before; returns its job's id."""


def array_spec(numbers: Iterable[int]) -> str:
    """Numbers as SLURM takes them: ``0-3,7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def blocks(numbers: Iterable[int], max_array_size: int) -> Iterator[tuple[int, list[int]]]:
    """Numbers in arrays that SLURM takes: the offset of each array, and its numbers.

    An index is less than MaxArraySize (slurm.conf(5)). Offsets are multiples of a power of ten, so that a job's
    ``123_45`` shows its number, and so does the pattern of its log's name.
    """
    size = 10 ** (len(str(max_array_size)) - 1)
    found: dict[int, list[int]] = {}
    for number in sorted(numbers):
        found.setdefault(number // size * size, []).append(number)
    yield from found.items()


def number_pattern(offset: int = 0) -> str:
    """A number of three digits or more in the name of a task's log, where the array begins at ``offset``.

    ``%3a`` is the index in three digits (sbatch(1), FILENAME PATTERN).
    """
    digits = len(str(offset)) - len(str(offset).rstrip("0"))
    return f"{str(offset)[:-digits].zfill(max(3 - digits, 0))}%{digits}a" if offset else "%3a"


def array_options(indices: Iterable[int], at_once: int | None, after: Sequence[str]) -> list[str]:
    """``sbatch``'s options for one array, of which ``at_once`` tasks (None: all) may run beside each other."""
    options = [f"--array={array_spec(indices)}{f'%{at_once}' if at_once else ''}"]
    # An array's limit counts its own tasks alone.
    return [*options, f"--dependency=afterany:{':'.join(after)}"] if at_once and after else options


def submit_arrays(numbers: Iterable[int], max_array_size: int, submit: SubmitArray) -> list[int]:
    """Submit arrays of ``numbers``; return those that SLURM took: it may take no more jobs of one person.

    Raises ``SubmitLimitError`` where it takes none.
    """
    taken: list[int] = []
    jobs: list[str] = []
    for offset, left in blocks(numbers, max_array_size):
        while left:
            part, job = _submit_some(left, offset, jobs, submit, may_fail=not taken)
            if not part:
                return taken
            taken += part
            left = left[len(part) :]
            jobs = [*jobs, job]
    return taken


def limit_said(taken: int, wanted: int, what: str) -> str:
    """What is told where the others of ``wanted`` are submitted later."""
    return (
        f"SLURM takes no more jobs of yours for now: {taken} of {wanted} {what} are submitted. The others are as "
        "soon as it takes some, by this command or by the same one again."
    )


def require_all(taken: int, wanted: int, what: str) -> None:
    """Raise ``SubmitLimitError`` where not all of ``wanted`` were taken, and nobody waits to submit the others."""
    if taken < wanted:
        raise SubmitLimitError(
            f"SLURM takes no more jobs of yours for now: only {taken} of {wanted} {what} are submitted.",
            "Run the same command again when some have ended, or without --detach: then it submits the others as"
            " soon as SLURM takes them.",
        )


def as_soon_as_taken(submit: Callable[[], T], reporter: Reporter) -> T:
    """What ``submit`` gives, tried again where SLURM takes no more jobs and some of this user's may end.

    Raises ``SubmitLimitError`` where none is there to end.
    """
    said = False
    while True:
        try:
            return submit()
        except SubmitLimitError as error:
            room_may_come(error)
            if not said:
                reporter.say(f"{error.problem} It is asked again until it does.")
            said = True
        time.sleep(_NO_ROOM_SECONDS)


def _submit_some(
    numbers: list[int], offset: int, jobs: list[str], submit: SubmitArray, *, may_fail: bool
) -> tuple[list[int], str]:
    """Submit as many of ``numbers`` as SLURM takes in one array, by halves."""
    part = numbers
    while True:
        try:
            return part, submit(part, offset, jobs)
        except SubmitLimitError:
            if len(part) == 1:
                if may_fail:
                    raise
                return [], ""
            part = part[: len(part) // 2]
