"""Which part of the video's pictures is computed, as the plan keeps it.

In: what was asked for when the video was planned. Out: a ``PictureChoice``, its form in ``chunks_metadata.json``,
and the ``Framing`` that it means. This file knows no pixels and does not know where the plan is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from vda.errors import InputError, UsageError
from vda.picture.framing import Box, Framing, Size
from vda.picture.overlay import Overlay

# What the networks cut pictures into, and what the smallest of them sees as one piece.
LEAST_SIDE: Final = 16

Crop = Literal["auto", "off"] | Box


def read_crop(text: str) -> Crop:
    """``auto``, ``off`` or ``X,Y,W,H`` in pixels of the upright video; ``UsageError`` for anything else."""
    if text in ("auto", "off"):
        return "auto" if text == "auto" else "off"
    try:
        box = Box(*(int(part) for part in text.split(",")))
    except (ValueError, TypeError):
        raise UsageError(
            f"{text!r} is no crop.", "Give --crop auto, off, or left, top, width and height: 0,138,1920,804."
        ) from None
    if min(box.left, box.top) < 0 or min(box.size) < LEAST_SIDE:
        raise UsageError(
            f"A crop of {text} is not possible.",
            f"Give left and top of 0 or more, and a width and height of {LEAST_SIDE} or more.",
        )
    return box


@dataclass(frozen=True)
class PictureChoice:
    """``video`` is the size (width, height) of the upright video; ``max_res`` the longest side depth may have.

    ``boxes`` are what is computed of each shot's pictures, in the video's pixels; one is for all of them, and none
    is the whole. ``crop`` was asked for: ``off``, ``auto`` or the box; ``mask_sha256`` is of what is covered.
    """

    video: Size
    max_res: int | None = None
    crop: str = "off"
    boxes: tuple[Box, ...] = ()
    mask_sha256: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of the video has depth of its own, and nothing was asked for."""
        return self == PictureChoice(self.video)

    def cropped(self, crop: Crop, found: tuple[Box | None, ...] = ()) -> "PictureChoice":
        """The choice with this crop; ``found`` are the boxes of the shots, None where there are no bars.

        Raises ``UsageError`` for a crop that is not within the picture.
        """
        if isinstance(crop, Box):
            width, height = self.video
            if crop.left + crop.width > width or crop.top + crop.height > height:
                raise UsageError(
                    f"The crop {written(crop)} is not within the picture, which is {width}x{height}.",
                    "Give left, top, width and height of a part of it, as the video is shown.",
                )
            return replace(self, crop=written(crop), boxes=(crop,))
        whole = Box(0, 0, *self.video)
        boxes = tuple(box or whole for box in found)
        # One for all where all are alike, and none where all are whole.
        alike = boxes[:1] if len(set(boxes)) == 1 else boxes
        return replace(self, crop=crop, boxes=() if alike == (whole,) else alike)

    def box(self, shot: int) -> Box | None:
        """What is computed of the pictures of ``shot``; None for the whole."""
        if len(self.boxes) <= 1:
            return next(iter(self.boxes), None)
        return self.boxes[shot]

    def framing(self, shot: int = 0, overlay: Overlay | None = None) -> Framing:
        """The framing of the pictures of ``shot``; ``overlay`` is of the video's size.

        Raises ``UsageError`` where too little is left.
        """
        framing = Framing.of(self.video, self.max_res, self.box(shot), overlay)
        if self.boxes and min(framing.box.size) < 1:
            raise UsageError(
                f"With --max-res {self.max_res} nothing is left of the crop {self.crop}.",
                "Give a larger --max-res.",
            )
        return framing

    def largest(self) -> Framing:
        """The framing of which the network sees most pixels."""
        shots = range(max(len(self.boxes), 1))
        return max(
            (self.framing(shot) for shot in shots), key=lambda framing: framing.box.width * framing.box.height
        )

    def to_json(self) -> dict[str, Any]:
        """What plan and ``depth.json`` say of it; empty where nothing is left out."""
        if self.is_whole:
            return {}
        return {
            "video_size": list(self.video),
            "max_res": self.max_res,
            "crop": self.crop,
            "boxes": [list(box) for box in self.boxes],
            "mask_sha256": self.mask_sha256,
        }

    @classmethod
    def from_json(cls, video: Size, values: Mapping[str, Any], shots: int) -> "PictureChoice":
        """Read what ``to_json`` wrote for a video of this size with so many shots.

        Raises ``InputError`` for anything else.
        """
        try:
            longest, mask = values.get("max_res"), values.get("mask_sha256")
            boxes = tuple(_box(value, video) for value in values.get("boxes", []))
            if len(boxes) not in (0, 1, shots):
                raise ValueError(f"{len(boxes)} boxes for {shots} shots")
            most = None if longest is None else _whole(longest, 1)
            return cls(video, most, str(values.get("crop", "off")), boxes, None if mask is None else str(mask))
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"The plan does not say which part of the pictures is computed ({error}).",
                "Remove the plan's file and plan the video again with 'vda split'.",
            ) from error

    def differences(self, other: "PictureChoice") -> list[str]:
        """Say, in words, what of what was asked for differs in ``other``."""
        asked = {"max-res": "max_res", "crop": "crop", "mask": "mask_sha256"}
        return [
            f"{name} {_short(getattr(self, field))} became {_short(getattr(other, field))}"
            for name, field in asked.items()
            if getattr(self, field) != getattr(other, field)
        ]


def written(box: Box) -> str:
    """``X,Y,W,H``, as ``--crop`` takes it."""
    return ",".join(map(str, box))


def _short(value: object) -> str:
    return "none" if value is None else str(value)[:16]


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{value!r} is no number of pixels")
    return value


def _box(value: Any, video: Size) -> Box:
    left, top, width, height = value
    box = Box(_whole(left, 0), _whole(top, 0), _whole(width, 1), _whole(height, 1))
    if box.left + box.width > video[0] or box.top + box.height > video[1]:
        raise ValueError(f"{written(box)} is not within {video[0]}x{video[1]}")
    return box
