"""The first stage: a video in, a planned scene out. It does not know which devices will compute it."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np

from vda.errors import SceneError, UsageError
from vda.files import write_bytes
from vda.picture.overlay import overlay_png
from vda.picture.signal import Deinterlace, SignalChoice
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Chunking, FrameRange, Plan, frames_within, plan_independent, plan_linked
from vda.scene.picturechoice import LEAST_SIDE, PictureChoice, read_crop
from vda.scene.scene import Scene
from vda.scene.selection import FrameSelection, Thinning
from vda.splitting.cuts import find_cuts, require_detector
from vda.splitting.pictures import PictureRequest, look_for_bars
from vda.splitting.shotlist import DETECTOR, is_found, read_shot_list, write_shot_list
from vda.splitting.shotpage import write_shot_page
from vda.stills.naming import name_of
from vda.video import FrameIndex, VideoInfo, index_frames, probe
from vda.video.rates import stated_fps

# As many frames as a window has.
DEFAULT_OVERLAP = 32
# So that a slow or lost device leaves chunks that others can take.
CHUNKS_PER_DEVICE = 4
# However long the video, no chunk keeps a device for much longer.
CHUNK_SECONDS = 300
# Frames per second, roughly: of the official small model on an old gaming card, and on a CPU.
_GPU_FPS, _CPU_FPS = 10, 1


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

    chunks: int | None = None
    frames: FrameRange | None = None
    chunking: Chunking | None = None
    overlap: int | None = None
    extract: bool = False
    trust_container: bool = False
    max_res: int | None = None
    stride: int | None = None
    fps: float | None = None
    deinterlace: Deinterlace | None = None
    color: str | None = None
    crop: str | None = None
    mask: Path | None = None
    shots: Path | None = None

    def __post_init__(self) -> None:
        self.choice(SignalChoice())
        if self.chunking not in (None, *get_args(Chunking)):
            raise UsageError(f"There is no chunking {self.chunking}.", "Choose linked or independent.")
        if self.chunks is not None and self.chunks < 1:
            raise UsageError(f"{self.chunks} chunks are not possible.", "Give --chunks 1 or more.")
        if self.overlap is not None and self.overlap < 0:
            raise UsageError(f"An overlap of {self.overlap} frames is not possible.", "Give --overlap 0 or more.")
        if self.frames is not None and not 0 <= self.frames[0] < self.frames[1]:
            first, stop = self.frames
            raise UsageError(f"The frames {first}:{stop} are no range.", "Give --frames A:B with 0 <= A < B.")
        Thinning(self.stride)
        Thinning(fps=self.fps)
        self._require_shots()
        if self.max_res is not None and self.max_res < LEAST_SIDE:
            raise UsageError(
                f"Depth of at most {self.max_res} pixels a side is not possible.",
                f"Give --max-res {LEAST_SIDE} or more.",
            )
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


_DEFAULT = PlanSettings()


def split(
    video: Path,
    scene: Scene,
    settings: PlanSettings = _DEFAULT,
    *,
    restart: bool = False,
    devices: tuple[str, ...] = (),
    scenes: int = 1,
    reporter: Reporter | None = None,
) -> Plan:
    """Count the frames of ``video`` exactly and plan its chunks in ``scene``.

    The number of chunks is what suits the length and the devices, which ``scenes`` scenes share, unless
    ``settings`` name one; it is never more than there are windows. An equal plan that is there already is kept.
    Raises ``VideoError`` for what is no video, ``SceneError`` where the scene holds another video or another plan
    and ``restart`` is not given.
    """
    reporter = reporter or Silence()
    known = scene.video() if scene.video_path.exists() and not restart else None
    fps = stated_fps(settings.fps) if settings.fps is not None else known.fps if known else None
    info = probe(video, settings.choice(known.choice if known else SignalChoice()), fps=fps)
    if known is not None:
        _require_same_video(scene, known, info, settings)
    settings.thinning(info)
    request = settings.picture
    overlay = request.overlay(info)
    picture = request.choice(info, overlay)
    index = index_frames(info, trust_container=settings.trust_container, reporter=reporter)
    is_planned = scene.plan_path.exists() and not restart
    frames = settings.range_in(index)
    cuts = _cuts(settings, scene, info, index, frames, is_planned, reporter)
    selection = settings.select(info, index)
    start, end = index.range_of(frames)
    suited = default_chunks(end - start if selection is None else len(selection.frames), devices, scenes)
    plan = _plan(settings, index, selection, cuts, suited)
    if settings.fps is not None and plan.selection is None and not info.is_sequence:
        reporter.say(f"The video has no more than {settings.fps:g} frames per second: all are used.")
    if is_planned:
        _require_same_picture(scene, request, picture)
        return _existing_plan(
            scene, settings, lambda asked: _plan(asked, index, selection, cuts, suited), reporter
        )
    if restart:
        scene.discard_computed()
    _write_shots(settings, scene, info, index, plan, reporter)
    index.save(scene.index_path)
    scene.write_video(info)
    shots = [[plan.frame(place) for place in range(*shot)] for shot in plan.shots]
    picture = look_for_bars(picture, request.crop, info, index, shots, reporter)
    if overlay is not None:
        write_bytes(scene.mask_path, overlay_png(overlay))
    scene.write_plan(plan, video_facts(info, index), devices, picture)
    return plan


def _cuts(
    settings: PlanSettings,
    scene: Scene,
    info: VideoInfo,
    index: FrameIndex,
    frames: FrameRange,
    is_planned: bool,
    reporter: Reporter,
) -> list[int]:
    """The first frames of shots, as the settings have them: found, listed, or none where none are asked for."""
    if settings.finds_shots and is_planned and is_found(scene.shots_path):
        # They were found when the scene was planned; looking again takes as long as decoding does.
        return read_shot_list(scene.shots_path, index.frames)
    if settings.finds_shots:
        return find_cuts(info, index, frames, reporter)
    if settings.lists_shots and settings.shots is not None:
        return read_shot_list(settings.shots, index.frames)
    return []


def _plan(
    settings: PlanSettings, index: FrameIndex, selection: FrameSelection | None, cuts: list[int], chunks: int
) -> Plan:
    if selection is None:
        return settings.plan(len(index), chunks, cuts)
    frames = selection.frames
    places = sorted({bisect_left(frames, cut) for cut in cuts} - {len(frames)})
    plan = replace(settings, frames=None).plan(len(frames), chunks, places)
    return plan.thinned(len(index), settings.range_in(index), selection)


def _write_shots(
    settings: PlanSettings, scene: Scene, info: VideoInfo, index: FrameIndex, plan: Plan, reporter: Reporter
) -> None:
    """List the shots of a new plan and show their cuts; what an earlier plan left is removed."""
    for path in (scene.shots_path, scene.shots_page_path):
        if path != settings.shots:
            path.unlink(missing_ok=True)
    if not settings.wants_shots:
        return
    starts = [plan.edge(start) for start, _ in plan.shots]
    found_by = DETECTOR if settings.finds_shots else "given"
    write_shot_list(scene.shots_path, starts, plan.frame_range[1], index, found_by)
    write_shot_page(scene.shots_page_path, info, index, starts[1:], scene.shots_path, reporter)
    reporter.say(
        f"{len(starts)} shots, each a sequence of its own; pictures of the cuts: {scene.shots_page_path}."
    )


def _times_s(info: VideoInfo, index: FrameIndex) -> np.ndarray:
    """When the frames are shown, float64 [n]; at the stated rate where the file gives them no times."""
    if (np.diff(index.pts) > 0).any():
        return index.times_s
    return np.arange(len(index)) / float(index.frame_rate(info.fps))


def scene_root(video: Path, root: Path | None) -> Path:
    """The scene directory of ``video``: ``root``, or ``data/<stem>``, or ``data/<name>`` where that is no folder.

    The stem of ``...mp4`` is ``..``, which is the folder above. Of images it is their folder's name, or what
    stands before the number in a pattern.
    """
    name = name_of(video)
    return root or Path("data") / (video.name if set(name) <= {"."} else name)


def default_chunks(frames: int, devices: Sequence[str], scenes: int = 1) -> int:
    """Return how many chunks suit ``frames`` frames on ``devices`` (ids) that ``scenes`` scenes share.

    At least four per device over all scenes, so that none waits long for the last; none longer than some five
    minutes. Beyond that fewer are better, for each chunk computes a few frames of its neighbour's again.
    """
    is_slow = not devices or any(device.startswith("cpu") for device in devices)
    longest = CHUNK_SECONDS * (_CPU_FPS if is_slow else _GPU_FPS)
    return max(math.ceil(CHUNKS_PER_DEVICE * max(len(devices), 1) / scenes), math.ceil(frames / longest), 1)


def video_facts(info: VideoInfo, index: FrameIndex) -> dict[str, object]:
    """The plan's ``video_info``: names and units that existing scripts read."""
    return {
        "input_path": str(info.path),
        "total_frames": len(index),
        "fps": float(index.frame_rate(info.fps)),
        "width": info.width,
        "height": info.height,
        "duration_seconds": index.duration_s,
    }


def _require_same_video(scene: Scene, known: VideoInfo, info: VideoInfo, settings: PlanSettings) -> None:
    if (known.size_bytes, known.sha256_head_tail) != (info.size_bytes, info.sha256_head_tail):
        raise SceneError(
            f"{scene.root} holds another video ({known.path}), or the file has changed since.",
            "Choose another --scene, or give --restart to throw away what was computed.",
        )
    if scene.plan_path.exists() and known.choice != info.choice:
        raise SceneError(
            f"{scene.root} was begun with --deinterlace {known.choice.deinterlace} --color {known.choice.color}, "
            "and other pictures would be other depth.",
            "Leave these options out to continue it, or give --restart to throw away what was computed.",
        )
    if info.is_sequence and settings.fps is not None and info.fps != known.fps:
        raise SceneError(
            f"{scene.root} was planned with {float(known.fps):g} images a second, not {float(info.fps):g}.",
            "Leave --fps out to continue it, or give --restart to throw away what was computed.",
        )
    # The same film from where it lies now: what reads it later looks there first.
    if known.path != info.path.absolute():
        scene.write_video(replace(known, path=info.path))


def _require_same_picture(scene: Scene, request: PictureRequest, asked: PictureChoice) -> None:
    """Options that are given again have to be those of the plan; those that are not are taken from it."""
    if differences := request.differences(scene.picture(), asked):
        raise SceneError(
            f"{scene.root} was planned for another part of the pictures: {'; '.join(differences)}.",
            "Leave those options out to continue it, or give --restart to throw away what was computed.",
        )


def _existing_plan(
    scene: Scene, settings: PlanSettings, plan: Callable[[PlanSettings], Plan], reporter: Reporter
) -> Plan:
    """The plan that is there; ``SceneError`` where what is asked for now would give other depth."""
    existing = scene.plan()
    count = len(existing.chunks)
    # How many linked chunks there are changes nothing about the depth, whatever devices suggest now.
    number = settings.chunks if not settings.is_linked else None
    asked = plan(replace(settings, chunks=number or count))
    if settings.says_what_plan and not _same_depth(existing, asked):
        raise SceneError(
            f"{scene.root} is already planned with {_plan_words(existing)}, and asked for now is "
            f"{_plan_words(asked, existing)}.",
            "Leave the options of the plan (--chunks ...) out to continue it, or give --restart to throw away "
            "what was computed.",
        )
    if settings.chunks not in (None, count):
        reporter.say(f"The scene keeps the {count} chunks it was begun with; their number changes no depth.")
    return existing


def _plan_words(plan: Plan, other: Plan | None = None) -> str:
    """A plan in words, and whether it has other cuts than ``other``, where they are as many."""
    selection = plan.selection
    thinned = f" ({selection.thinning})" if selection and selection.thinning.leaves_out else ""
    overlap = f", overlap {plan.overlap}" if plan.chunking == "independent" else ""
    moved = (
        other and len(plan.shots) == len(other.shots) and plan.frames == other.frames and plan.shots != other.shots
    )
    return (
        f"{len(plan.chunks)} chunks ({plan.chunking}{overlap}) of frames "
        f"{plan.frame_range[0]}:{plan.frame_range[1]}{thinned}, shots: {len(plan.shots)}"
        f"{', with other cuts' if moved else ''}"
    )


def _same_depth(existing: Plan, asked: Plan) -> bool:
    """Whether two plans give the same depth: linked chunks do, however many the windows are shared out to."""
    if existing.chunking == asked.chunking == "linked":
        return replace(existing, chunks=()) == replace(asked, chunks=())
    return existing == asked
