"""Some commands of ours run to their end as tasks of Ray, each again where its process or its node was lost.

In: a Ray that is there, and commands. Out: how each ended. What a command does, and what is to be said of one that
fails, is not known here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vda.launch.interrupts import first_is_asked
from vda.launch.onray import AGAIN, Ended, RayNode, RayTasks
from vda.reporter import Reporter

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class RayCommand:
    """The ``words`` behind ``vda``, the file that takes what it prints; ``like``: a node of the kind to run on."""

    words: Sequence[str]
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    like: RayNode | None = None


def run_all(
    tasks: RayTasks,
    commands: Mapping[str, RayCommand],
    reporter: Reporter,
    *,
    retries: int,
    until_failure: bool = False,
    steps: Callable[[], int] = lambda: 0,
) -> dict[str, Ended]:
    """Run all of ``commands``, and return how each ended, in the order of their ends.

    After each, the reporter is told that the work is at what ``steps`` returns.
    What was lost, or asks for it (exit code 75), runs again, up to ``retries`` times each. ``until_failure``: once
    one fails, the others are told to end. Ctrl-C tells all to end, and again ends them at once.
    """
    ended: dict[str, Ended] = {}
    again, is_told = Counter[str](), False

    def begin(key: str) -> None:
        command = commands[key]
        tasks.submit(key, command.words, command.log, command.variables, command.like)

    for key in commands:
        begin(key)
    with first_is_asked() as interrupted:
        while tasks.running:
            if interrupted() and not is_told:
                is_told = True
                reporter.say("Ending. Ctrl-C again ends at once.")
                tasks.cancel()
            if (found := tasks.ended(_LOOK_SECONDS)) is None:
                continue
            key, end = found
            if not is_told and (end.lost or end.code == AGAIN) and again[key] < retries:
                again[key] += 1
                begin(key)
                continue
            ended[key] = end
            reporter.at(steps())
            if until_failure and end.code != 0 and not is_told:
                is_told = True
                tasks.cancel()
        if interrupted():
            raise KeyboardInterrupt
    return ended
