"""Conditions on a scene's figures: ``seam>1.5`` says which depth is not good enough.

In: conditions as they are typed, and a scene's figures. Out: those that are met, in words. All is parsed before
anything is measured. This file measures nothing.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vda.errors import UsageError
from vda.evaluation.quality import FIGURES, in_digits

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
# A number as people write it, and perhaps a per cent sign.
_FORM: Final = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class Condition:
    """A figure's name, how it is compared, and with what; ``text`` is as it was typed."""

    text: str
    name: str
    comparison: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read ``seam>1.5`` or ``invalid >= 2%``; raise ``UsageError`` for anything else."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"'{text}' is no condition.",
                "Write a figure, one of > >= < <= == != and a number, such as --fail-if 'seam>1.5'.",
            )
        name, comparison, number, percent = match.groups()
        if name not in FIGURES:
            raise UsageError(f"There is no figure called {name}.", f"Use one of {', '.join(FIGURES)}.")
        return cls(text, name, comparison, float(number) / (100 if percent else 1))

    def judge(self, figures: Mapping[str, Any]) -> str | None:
        """A sentence where the condition is met, or the figure could not be measured; else None.

        ``figures`` are those of ``Quality.to_json``.
        """
        value = figures.get(self.name)
        if value is None:
            why = figures["not_measured"].get(self.name, "nobody knows why")
            return f"{self.name} could not be measured ({why}), so '{self.text}' cannot be ruled out."
        if _OPERATORS[self.comparison](value, self.limit):
            return f"{self.name} is {in_digits(value)}: '{self.text}' holds."
        return None


def met(conditions: Sequence[Condition], figures: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each of ``conditions`` that fails the scene."""
    yield from (sentence for condition in conditions if (sentence := condition.judge(figures)) is not None)
