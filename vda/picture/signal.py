"""What a user says of pictures that a file states wrongly, or that are to be taken as they are.

In: the words of ``--deinterlace`` and ``--color``. Out: a ``SignalChoice``, checked. This file knows no pictures.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from vda.errors import UsageError

Deinterlace = Literal["auto", "on", "off"]
Transfer = Literal["sdr", "pq", "hlg"]
Matrix = Literal["bt601", "bt709", "bt2020"]
Range = Literal["limited", "full"]

_WORDS = (*get_args(Transfer), *get_args(Matrix), *get_args(Range))


@dataclass(frozen=True)
class SignalChoice:
    """``auto`` is what the stream states.

    ``deinterlace`` ``on`` takes every frame for interlaced, ``off`` none. ``color`` is ``auto`` or words joined by
    commas, each in the place of what is stated: a transfer (sdr, pq, hlg), a matrix and its primaries (bt601,
    bt709, bt2020), a range (limited, full). Raises ``UsageError`` for other words, and for two of one kind.
    """

    deinterlace: Deinterlace = "auto"
    color: str = "auto"

    def __post_init__(self) -> None:
        if self.deinterlace not in get_args(Deinterlace):
            raise UsageError(
                f"Deinterlacing {self.deinterlace!r} is not known.", "Give --deinterlace auto, on or off."
            )
        words = [] if self.color == "auto" else self.color.split(",")
        twice = any(sum(word in get_args(kind) for word in words) > 1 for kind in (Transfer, Matrix, Range))
        if twice or not set(words) <= set(_WORDS):
            raise UsageError(
                f"Colours {self.color!r} say nothing, or two things at once.",
                "Give --color auto, or one each of sdr, pq, hlg; bt601, bt709, bt2020; limited, full: "
                "for example --color hlg,bt2020.",
            )

    @property
    def transfer(self) -> Transfer | None:
        return cast("Transfer | None", self._word(get_args(Transfer)))

    @property
    def matrix(self) -> Matrix | None:
        return cast("Matrix | None", self._word(get_args(Matrix)))

    @property
    def range(self) -> Range | None:
        return cast("Range | None", self._word(get_args(Range)))

    def _word(self, kind: tuple[str, ...]) -> str | None:
        return next((word for word in self.color.split(",") if word in kind), None)
