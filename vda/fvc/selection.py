"""Which rows of the metadata this process scales, and in which order.

In: the number of rows, a range or a shard, the environment of a SLURM task. Out: row numbers. Shards tile the
rows: every row belongs to exactly one. This file does not know what rows hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vda.errors import UsageError
from vda.records import is_count

Order = Literal["forward", "reverse"]


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 0."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise UsageError(
                f"There is no shard {self.index} of {self.count}.", f"Shards are 0/{self.count} and up."
            )

    @classmethod
    def of_slurm_task(cls, environment: Mapping[str, str]) -> "Shard | None":
        """The shard of this task of a SLURM step; None outside of one, or alone in it."""
        index, count = (environment.get(name, "") for name in ("SLURM_PROCID", "SLURM_NTASKS"))
        if not (is_count(index) and is_count(count)) or int(count) < 2:
            return None
        return cls(int(index), int(count))

    def rows(self, total: int) -> range:
        return range(self.index * total // self.count, (self.index + 1) * total // self.count)


@dataclass(frozen=True)
class Selection:
    """Rows ``start`` to ``end`` (exclusive; None: to the last), or a ``shard`` of all; ``order`` of working."""

    start: int | None = None
    end: int | None = None
    shard: Shard | None = None
    order: Order = "forward"

    def __post_init__(self) -> None:
        if self.shard is not None and (self.start, self.end) != (None, None):
            raise UsageError(
                "Rows are given as a range or as a shard, not as both.",
                "Leave out --shard, or --start-idx and --end-idx.",
            )

    def rows(self, total: int) -> range:
        """The row numbers, rising. Raises ``UsageError`` for a range that is turned inside out or holds no row."""
        if self.shard is not None:
            return self.shard.rows(total)
        start, end = self.start or 0, total if self.end is None else min(self.end, total)
        if not 0 <= start < end:
            raise UsageError(
                f"Rows {start} to {end} are none of the {total} rows.",
                f"Give --start-idx and --end-idx within 0 and {total}.",
            )
        return range(start, end)

    def in_order(self, total: int) -> range:
        rows = self.rows(total)
        return rows if self.order == "forward" else rows[::-1]
