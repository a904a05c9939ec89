"""What is asked of the planning of a video, and what it means for the frames that are there.

Settings are complete in themselves: what contradicts itself is refused before a video is opened. This file does
not know the scene, nor what an earlier plan was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np

from vda.errors import UsageError
from vda.picture.signal import Deinterlace, SignalChoice
from vda.records import Within, require_sound
from vda.scene.chunks import Chunking, FrameRange, Plan, frames_within, plan_independent, plan_linked
from vda.scene.picturechoice import LEAST_SIDE, read_crop
from vda.scene.selection import FrameSelection, Thinning
from vda.splitting.cuts import require_detector
from vda.splitting.pictures import PictureRequest
from vda.video import FrameIndex, VideoInfo

# As many frames as a window has.
DEFAULT_OVERLAP = 32


@dataclass(frozen=True)
class PlanSettings:
    """How a video is planned; None is decided here, or by the length and the devices (``chunks``).

    ``frames`` is a half-open range of frame indices. ``chunking`` is ``linked`` unless ``extract`` asks for chunks
    as clips, which only ``independent`` chunks can be; ``overlap`` (default 32 frames) is of independent chunks
    alone. ``trust_container`` takes the count of frames from the container, without decoding. ``max_res`` is the
    longest side that depth may have, in pixels: pictures are brought to that size before anything sees them.
    ``stride`` uses every so manieth frame only, ``fps`` the frames nearest to so many ticks a second; of images,
    which have no clock, ``fps`` is the rate at which they follow each other.
    ``deinterlace`` and ``color`` are ``SignalChoice``'s; None is as the scene has it, or as the video states.
    ``crop`` (``auto``, ``off`` or ``X,Y,W,H``) and ``mask``, an image, keep bars and overlays from the network.
    ``shots`` is ``auto`` to look for cuts, a list of shots (``shotlist``), or ``none``.
    Raises ``UsageError`` for numbers that make no sense and for options that contradict each other.
    """

    chunks: Annotated[int, Within(1)] | None = None
    frames: FrameRange | None = None
    chunking: Chunking | None = None
    overlap: Annotated[int, Within(0)] | None = None
    extract: bool = False
    trust_container: bool = False
    max_res: Annotated[int, Within(LEAST_SIDE)] | None = None
    stride: Annotated[int, Within(1)] | None = None
    fps: float | None = None
    deinterlace: Deinterlace | None = None
    color: str | None = None
    crop: str | None = None
    mask: Path | None = None
    shots: Path | None = None

    def __post_init__(self) -> None:
        require_sound(self)
        self.choice(SignalChoice())
        if self.frames is not None and not 0 <= self.frames[0] < self.frames[1]:
            first, stop = self.frames
            raise UsageError(f"The frames {first}:{stop} are no range.", "Give --frames A:B with 0 <= A < B.")
        Thinning(self.stride)
        Thinning(fps=self.fps)
        self._require_shots()
        request = self.picture
        if self.extract and (request.max_res, request.crop or "off", request.mask) != (None, "off", None):
            raise UsageError(
                "Clips are cut out with whole pictures: --max-res, --crop and --mask would not hold for them.",
                "Leave them out, or leave out --extract.",
            )
        if self.extract and self.chunking == "linked":
            raise UsageError(
                "Linked chunks cannot be computed as clips.", "Leave out --extract or --chunking linked."
            )
        if self.is_linked and self.overlap is not None:
            raise UsageError(
                "Linked chunks have no overlap to choose.", "Give --chunking independent, or no --overlap."
            )

    def choice(self, other: SignalChoice) -> SignalChoice:
        """How pictures are to be taken: as asked, and as in ``other`` where nothing was asked."""
        color = other.color if self.color is None else self.color
        return SignalChoice(self.deinterlace or other.deinterlace, color)

    def _require_shots(self) -> None:
        if self.finds_shots:
            require_detector()
        elif self.wants_shots and not (self.shots and self.shots.is_file()):
            raise UsageError(
                f"There is no list of shots {self.shots}.", "Give --shots auto, none, or the path of a list."
            )

    @property
    def finds_shots(self) -> bool:
        return str(self.shots) == "auto"

    @property
    def wants_shots(self) -> bool:
        return str(self.shots or "none") != "none"

    @property
    def lists_shots(self) -> bool:
        """Whether ``shots`` is a file, which is of one video."""
        return self.wants_shots and not self.finds_shots

    @property
    def picture(self) -> PictureRequest:
        """Which part of the pictures is asked for; raises ``UsageError`` for a crop that is none."""
        return PictureRequest(self.max_res, None if self.crop is None else read_crop(self.crop), self.mask)

    @property
    def is_linked(self) -> bool:
        return self.chunking != "independent" and not self.extract

    @property
    def says_what_plan(self) -> bool:
        """Whether a plan that is there has to be the one that is asked for now."""
        asked = (self.chunks, self.frames, self.overlap, self.stride, self.fps)
        # --shots none is asked for as well: shots that a scene was planned with are other depth.
        return asked != (None,) * len(asked) or not self.is_linked or self.shots is not None

    def plan(self, total_frames: int, chunks: int, cuts: Sequence[int] = ()) -> Plan:
        """Plan a video of ``total_frames`` frames in ``chunks`` chunks, where the settings name no number.

        ``cuts`` are the places, rising, at which a shot begins; 0 need not be among them.
        """
        wanted = self.chunks or chunks
        shots = list(pairwise([0, *(cut for cut in cuts if cut > 0), total_frames]))
        if self.is_linked:
            return plan_linked(total_frames, wanted, frame_range=self.frames, shots=shots)
        shared = DEFAULT_OVERLAP if self.overlap is None else self.overlap
        return plan_independent(total_frames, wanted, shared, frame_range=self.frames, shots=shots)

    def range_in(self, index: FrameIndex) -> FrameRange:
        """The frames to work on, as indices. Raises ``UsageError`` where ``frames`` are none of the video's."""
        if index.numbers is None:
            return frames_within(self.frames, len(index))
        first, stop = self.frames or (index.frames[0], index.frames[-1] + 1)
        start, end = index.range_of((first, stop))
        if start == end:
            raise UsageError(f"No image has a number in {first}:{stop}.", "Give --frames A:B with images in it.")
        return index.frames[start], stop

    def thinning(self, info: VideoInfo) -> Thinning:
        """Which frames are used. Of images, which have no clock, ``fps`` says the rate and leaves none out.

        Raises ``UsageError`` where a film's frames are to be picked in both ways.
        """
        return Thinning(self.stride, None if info.is_sequence else self.fps)

    def select(self, info: VideoInfo, index: FrameIndex) -> FrameSelection | None:
        """The frames that are used; None where they are all of a range without gaps."""
        start, end = index.range_of(self.range_in(index))
        thinning = self.thinning(info)
        if not thinning.leaves_out and index.numbers is None:
            return None
        places = thinning.pick(_times_s(info, index)[start:end], start).frames
        if index.numbers is None:
            return FrameSelection(thinning, places) if len(places) < end - start else None
        return FrameSelection(thinning, tuple(index.frames[place] for place in places))


def _times_s(info: VideoInfo, index: FrameIndex) -> np.ndarray:
    """When the frames are shown, float64 [n]; at the stated rate where the file gives them no times."""
    if (np.diff(index.pts) > 0).any():
        return index.times_s
    return np.arange(len(index)) / float(index.frame_rate(info.fps))
