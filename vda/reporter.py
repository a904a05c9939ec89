"""How work tells a person, or a program, how it goes: the one protocol for it.

In: stages, steps and sentences from whoever works. Out: whatever a reporter makes of them; ``cli/progress`` makes
bars and lines. This file does not know what is done, nor where it is shown.
"""

from typing import Protocol


class Reporter(Protocol):
    """Told how the work goes: ``begin`` a stage of ``total`` steps (None: unknown), be ``at`` one, ``say`` it."""

    def begin(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def at(self, done: int) -> None: ...

    def say(self, sentence: str) -> None: ...


class Silence:
    """A reporter for programs that do not want to be told."""

    def begin(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def at(self, done: int) -> None: ...

    def say(self, sentence: str) -> None: ...
