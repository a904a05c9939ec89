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
    """Notes which stages are begun, and of how many steps."""

    def __init__(self) -> None:
        self.totals: list[tuple[str, int | None]] = []

    @property
    def begun(self) -> list[str]:
        return [stage for stage, _ in self.totals]

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self.totals.append((stage, total))
