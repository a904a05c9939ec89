"""Reporters for tests: what is done when a stage gets to a step."""

from collections.abc import Callable

from vda.reporter import Silence


class Steps(Silence):
    """Calls ``seen`` with how many steps are done."""

    def __init__(self, seen: Callable[[int], None]) -> None:
        self._seen = seen

    def at(self, done: int) -> None:
        self._seen(done)
