"""How codes lie over a range of values: evenly, or the closer together the smaller a value is.

In: a coding's name, its first and its last code. Out: codes for places on the range, places for codes, and the
formula that other programs compute. This file does not know what values are, nor how many bits codes have.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Coding = Literal["linear", "sqrt", "log"]
CODINGS: Final[tuple[Coding, ...]] = get_args(Coding)
Floats = NDArray[np.float64]

# What the two numbers of a formula are called. Programs that know ``scale`` and ``offset`` take codes for even, so
# codes that are not have other names: such a program ends with an error, and not with wrong depth.
PARAMETERS: Final[dict[Coding, tuple[str, str]]] = {
    "linear": ("offset", "scale"),
    "sqrt": ("low", "step"),
    "log": ("low", "step"),
}


@dataclass(frozen=True)
class Spacing:
    """The codes ``first``..``last`` over a range: value = offset + scale * place(code).

    With u = code - first, which ends at n = last - first, a place is

        linear  code
        sqrt    u^2 / n
        log     (n + 1)^(u / n) - 1

    so that the latter two begin at 0 and end at n: offset is the least value, scale the step that linear codes
    over the same range have. Of the range only its ends count, so that a value's code is the same in any unit and
    from any zero, neither of which relative depth has. log is nearly even up to about one linear step above the
    least value; from there on a code is a constant share of what lies above it. Raises ``ValueError`` for what is
    no coding.
    """

    coding: Coding
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.coding not in CODINGS:
            raise ValueError(f"{self.coding!r} is none of the codings {', '.join(CODINGS)}")
        if self.steps < 1 and not self.is_even:
            raise ValueError(f"codes {self.first} to {self.last} are no range")

    @property
    def is_even(self) -> bool:
        return self.coding == "linear"

    @property
    def steps(self) -> int:
        return self.last - self.first

    def places(self, codes: NDArray[np.number]) -> Floats:
        """Return the place of each of ``codes`` (any shape); only linear ones go on beyond the first and last."""
        if self.is_even:
            return codes.astype(np.float64)
        u = np.clip(codes.astype(np.float64) - self.first, 0, self.steps)
        return u * u / self.steps if self.coding == "sqrt" else np.expm1(u * self._growth)

    def inside(self, places: Floats) -> NDArray[np.bool_]:
        """Whether each of ``places`` is no more than half a linear step outside of the codes'; NaN is not."""
        if self.is_even:
            codes = np.rint(places)
            return (codes >= self.first) & (codes <= self.last)
        return (places >= -0.5) & (places <= self.steps + 0.5)

    def nearest(self, places: Floats) -> Floats:
        """Return the code whose place is nearest to each of ``places``; NaN stays NaN.

        Places outside have linear codes beyond the first and last, and else the nearest of these.

        The edge between two codes is the middle of their places. Squares u^2 and (u + 1)^2 have it at
        (u + 1/2)^2 + 1/4, powers e^(g u) and e^(g (u + 1)) at e^(g (u + 1/2)) cosh(g / 2).
        """
        if self.is_even:
            return np.rint(places)
        held = np.clip(places, 0, self.steps)
        if self.coding == "sqrt":
            u = np.sqrt(np.maximum(held * self.steps - 0.25, 0))
        else:
            u = (np.log1p(held) - np.log(np.cosh(self._growth / 2))) / self._growth
        return self.first + np.rint(np.maximum(u, 0))

    @property
    def finest(self) -> float:
        """The least distance between the places of two codes."""
        return float(np.diff(self.places(np.array([self.first, self.first + 1])))[0])

    @property
    def coarsest(self) -> float:
        """The largest distance between the places of two codes."""
        return float(np.diff(self.places(np.array([self.last - 1, self.last])))[0])

    def formula(self, offset: str, scale: str) -> str:
        """What a code means, given the two numbers or their names."""
        u = f"(code - {self.first})"
        of = {
            "linear": f"{offset} + {scale} * code",
            "sqrt": f"{offset} + {scale} * {u} ** 2 / {self.steps}",
            "log": f"{offset} + {scale} * ({self.steps + 1} ** ({u} / {self.steps}) - 1)",
        }
        return of[self.coding]

    @cached_property
    def _growth(self) -> float:
        """The logarithm of what (place + 1) grows by from code to code."""
        return float(np.log(self.steps + 1) / self.steps)
