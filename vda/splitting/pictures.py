"""Which part of a video's pictures is computed: what was asked for, held against the video.

In: options, the video, the shots of the plan. Out: a ``PictureChoice``, the overlay, and sentences for the user.
Bars are looked for in a few frames of each shot. This file does not know where the plan is kept.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vda.errors import VideoError
from vda.picture.bars import find_bars, is_dark_outside
from vda.picture.framing import Box
from vda.picture.overlay import Overlay, overlay_sha256, read_overlay
from vda.reporter import Reporter
from vda.scene.picturechoice import Crop, PictureChoice, written
from vda.video import FrameIndex, VideoInfo, read_frame_list

# Spread over a film these meet several scenes; each costs a seek.
_LOOKED_AT: Final = 12
_ENOUGH_KEYS: Final = 4
# With fewer key frames all of a film is decoded once more, which a hint is not worth for a long one.
_CHEAP_FRAMES: Final = 1000
# Of each shot, where there are many.
_LOOKED_AT_IN_SHOT: Final = 6


@dataclass(frozen=True)
class PictureRequest:
    """What is asked for; None is not asked for, and taken from a plan that is there."""

    max_res: int | None
    crop: Crop | None
    mask: Path | None

    def overlay(self, info: VideoInfo) -> Overlay | None:
        """What is covered; raises ``UsageError`` and ``InputError`` as ``read_overlay``."""
        return None if self.mask is None else read_overlay(self.mask, (info.width, info.height))

    def choice(self, info: VideoInfo, overlay: Overlay | None) -> PictureChoice:
        """The choice as far as it is known before any frame is looked at; refuses what the video cannot give."""
        sha256 = None if overlay is None else overlay_sha256(overlay)
        asked = PictureChoice((info.width, info.height), self.max_res, mask_sha256=sha256)
        made = asked.cropped(self.crop or "off")
        made.framing()
        return made

    def differences(self, planned: PictureChoice, asked: PictureChoice) -> list[str]:
        """In words, what was asked for that is not what was planned."""
        given = {"max-res": self.max_res, "crop": self.crop, "mask": self.mask}
        return [words for words in planned.differences(asked) if given[words.split()[0]] is not None]


def look_for_bars(
    choice: PictureChoice,
    crop: Crop | None,
    info: VideoInfo,
    index: FrameIndex,
    shots: Sequence[Sequence[int]],
    reporter: Reporter,
) -> PictureChoice:
    """The choice with the bars of each of ``shots`` (frame indices) kept out, where ``crop`` is auto.

    Where nothing was said of a crop, bars that are certain are told, with the options that keep them out.
    """
    if crop == "auto":
        found = _bars_of_shots(info, index, shots)
        made = choice.cropped("auto", found)
        reporter.say(_told(made, found))
        return made
    if crop is None:
        box = _hint(info, index, [frame for shot in shots for frame in shot])
        if box is not None:
            reporter.say(
                f"The pictures have black bars, which change the depth beside them: --crop auto, or "
                f"--crop {written(box)}, keeps them from the network."
            )
    return choice


def _hint(info: VideoInfo, index: FrameIndex, frames: Sequence[int]) -> Box | None:
    """What lies between the bars of all ``frames``, where looking is cheap."""
    if len(frames) > _CHEAP_FRAMES and len(np.intersect1d(index.keyframes, frames)) < _ENOUGH_KEYS:
        return None
    try:
        return find_bars(_some_pictures(info, index, frames, _LOOKED_AT))
    except VideoError:
        # What is wrong with the video is said by whoever needs its frames.
        return None


def _told(choice: PictureChoice, found: Sequence[Box | None]) -> str:
    if not choice.boxes:
        return "No black bars are certain, so nothing is cropped."
    if len(choice.boxes) == 1:
        return f"Black bars are kept from the network: what is computed is {written(choice.boxes[0])} (X,Y,W,H)."
    with_bars = sum(box is not None for box in found)
    return f"Black bars are kept from the network in {with_bars} of {len(found)} shots."


def _bars_of_shots(info: VideoInfo, index: FrameIndex, shots: Sequence[Sequence[int]]) -> tuple[Box | None, ...]:
    """What lies between the bars of each shot; one too dark to tell has those that most others have."""
    count = _LOOKED_AT if len(shots) == 1 else _LOOKED_AT_IN_SHOT
    found = [find_bars(_some_pictures(info, index, shot, count)) for shot in shots]
    certain = Counter(box for box in found if box is not None)
    if not certain:
        return tuple(found)
    usual = certain.most_common(1)[0][0]
    for place, shot in enumerate(shots):
        if found[place] is None and is_dark_outside(_some_pictures(info, index, shot, count), usual):
            found[place] = usual
    return tuple(found)


def _some_pictures(
    info: VideoInfo, index: FrameIndex, frames: Sequence[int], count: int
) -> list[NDArray[np.uint8]]:
    """Pictures spread over ``frames``, at key frames where there are enough, for these cost least."""
    keys = np.intersect1d(index.keyframes, frames)
    places = keys if len(keys) >= _ENOUGH_KEYS else np.asarray(frames)
    # The very first and last are often black.
    chosen = places[((np.arange(count) * 2 + 1) * len(places) // (2 * count))] if len(places) else places
    return [frame.rgb for frame in read_frame_list(info, index, sorted({int(place) for place in chosen}))]
