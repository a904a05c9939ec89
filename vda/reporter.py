"""How work tells a person, or a program, how it goes: the one protocol for it.

In: stages, steps and sentences from whoever works. Out: whatever a reporter makes of them; ``cli/progress`` makes
bars and lines. This file does not know what is done, nor where it is shown.
"""

from typing import Protocol


class Reporter(Protocol):
    """Told how the work goes: ``begin`` a stage of ``total`` steps (None: unknown), be ``at`` one, ``say`` it.

    Where steps are large, it ``count``s what they are made of: so many more of a ``unit``, such as frames. Where
    whoever works knows better how fast it goes than steps and a clock tell, it ``expect``s: steps a second and the
    seconds that are left, each None where that is not known yet.
    """

    def begin(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def at(self, done: int) -> None: ...

    def count(self, more: int, unit: str) -> None: ...

    def expect(self, per_second: float | None, seconds_left: float | None) -> None: ...

    def say(self, sentence: str) -> None: ...


class Silence:
    """A reporter for programs that do not want to be told."""

    def begin(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def at(self, done: int) -> None: ...

    def count(self, more: int, unit: str) -> None: ...

    def expect(self, per_second: float | None, seconds_left: float | None) -> None: ...

    def say(self, sentence: str) -> None: ...


class Noted:
    """A reporter that tells ``reporter`` all it is told and keeps the sentences, for a report at the end.

    ``of`` stands before each sentence that is told, not before those that are kept: whose work it is, of many.
    """

    def __init__(self, reporter: Reporter | None, of: str = "") -> None:
        self._reporter, self._of = reporter or Silence(), of
        self.said: list[str] = []

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self._reporter.begin(stage, total, done)

    def at(self, done: int) -> None:
        self._reporter.at(done)

    def count(self, more: int, unit: str) -> None:
        self._reporter.count(more, unit)

    def expect(self, per_second: float | None, seconds_left: float | None) -> None:
        self._reporter.expect(per_second, seconds_left)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)
        self._reporter.say(self._of + sentence)
