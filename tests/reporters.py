"""Reporters for tests: what is done when a stage gets to a step."""

from collections.abc import Callable

from vda.reporter import Silence


class Steps(Silence):
    """Calls ``seen`` with how many steps are done."""

    def __init__(self, seen: Callable[[int], None]) -> None:
        self._seen = seen

    def at(self, done: int) -> None:
        self._seen(done)


class Stages(Silence):
    """Notes which stages are begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self.begun.append(stage)
