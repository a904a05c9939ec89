"""What a measurement gives: a number, its unit, and the bound it is held to."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """``bound`` None: reported only."""

    name: str
    value: float
    unit: str = ""
    bound: float | None = None
    side: Literal["at least", "at most"] = "at most"

    @property
    def holds(self) -> bool:
        if self.bound is None:
            return True
        return self.value >= self.bound if self.side == "at least" else self.value <= self.bound

    def __str__(self) -> str:
        bound = "" if self.bound is None else f"  ({self.side} {self.bound:g}: {'yes' if self.holds else 'NO'})"
        return f"{self.name:<60} {self.value:10.3f} {self.unit}{bound}"
