"""Which part of the video's pictures is computed, as the plan keeps it.

In: what was asked for when the video was planned. Out: a ``PictureChoice``, its form in ``chunks_metadata.json``,
and the ``Framing`` that it means. This file knows no pixels and does not know where the plan is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vda.errors import InputError
from vda.picture.framing import Framing, Size


@dataclass(frozen=True)
class PictureChoice:
    """``video`` is the size (width, height) of the upright video; ``max_res`` the longest side depth may have."""

    video: Size
    max_res: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of the video has depth of its own."""
        return self == PictureChoice(self.video)

    def framing(self) -> Framing:
        return Framing.of(self.video, self.max_res)

    def to_json(self) -> dict[str, Any]:
        """What plan and ``depth.json`` say of it; empty where nothing is left out."""
        return {} if self.is_whole else {"video_size": list(self.video), "max_res": self.max_res}

    @classmethod
    def from_json(cls, video: Size, values: Mapping[str, Any]) -> "PictureChoice":
        """Read what ``to_json`` wrote for a video of this size. Raises ``InputError`` for anything else."""
        try:
            longest = values.get("max_res")
            return cls(video, None if longest is None else _positive(longest))
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"The plan does not say which part of the pictures is computed ({error}).",
                "Plan the video again with `vda split`.",
            ) from error

    def differences(self, other: "PictureChoice") -> list[str]:
        """Say, in words, what of ``other`` differs from this."""
        return [] if self.max_res == other.max_res else [f"max-res {self.max_res} became {other.max_res}"]


def _positive(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no number of pixels")
    return value
