"""One row's files, opened: the video and its frames, and the depth of its scene.

In: an ``Item`` and where paths lead. Out: ``Source``. What is odd about a video is said in its notes; what makes
it unusable is raised. This file does not know what is made of it.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vda.depthmaps.codes import Codes, DepthRecord
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError, SceneError
from vda.fvc.geometry import Size
from vda.fvc.paths import Places
from vda.fvc.request import Item, ScaleSettings
from vda.picture.signal import SignalChoice
from vda.scene.scene import Scene
from vda.shown import quoted
from vda.video import FrameIndex, VideoInfo, index_frames, index_in_cache, list_frames, notes_of, probe


@dataclass(frozen=True, eq=False)
class Depth:
    """Codes of a scene's merged depth, by frame index; ``record`` says what they mean."""

    source: DepthSource
    record: DepthRecord

    @property
    def size(self) -> Size:
        return self.record.width, self.record.height

    def codes(self, frame: int) -> Codes:
        """Uint16 [height, width]. Raises ``InputError`` where the frame has no depth."""
        return self.record.quantizer.encode(self.source.read(frame))


@dataclass(frozen=True, eq=False)
class Source:
    """``size`` (width, height) is the upright video's; ``listed``: ``index`` was not counted yet."""

    info: VideoInfo
    index: FrameIndex
    depth: Depth | None
    tracks: Path | None
    notes: tuple[str, ...]
    listed: bool = False

    @property
    def size(self) -> Size:
        return self.info.width, self.info.height


def open_source(
    item: Item,
    places: Places,
    scene: Scene | None,
    settings: ScaleSettings,
    *,
    count: bool = False,
    threads: int | None = None,
    keep: bool = True,
) -> Source:
    """Open the video of ``item``, and the depth of its ``scene`` where depth is wanted.

    Frames are taken as the container lists them, unless they are to be counted (``count``): whoever reads them
    sees whether the list fits, and asks again. What is counted is kept in the user's cache (``keep``). Raises
    ``VideoError`` for a video that cannot be used, ``SceneError`` for a scene of another one, ``InputError`` where
    a file that the row names, or the scene's depth, is not there.
    """
    depth = None if scene is None else _depth_of(scene)
    planned = scene is not None and scene.video_path.is_file()
    # Pictures are those that the scene's depth was computed of.
    choice = settings.signal if scene is None or not planned else _choice_of(scene, settings.signal)
    rate = _rate_of(scene) if scene is not None and planned else None
    info = probe(places.video(item.video_path), choice, fps=rate)
    listed = None if planned or count or not settings.wants_colour else _listed(info, settings)
    if scene is not None and planned:
        index = _index_of(scene, info)
    else:
        index = listed or index_frames(info, threads=threads, keep=keep)
    tracks = None if item.tracks is None else places.other("track file", item.tracks)
    return Source(
        info, index, depth, tracks, (*_oddities(info), *notes_of(info, index)), listed=listed is not None
    )


def _listed(info: VideoInfo, settings: ScaleSettings) -> FrameIndex | None:
    """The container's list, where nobody counted before or only the first frames are wanted.

    For those the list is taken in any case: what comes out must not depend on who counted before.
    """
    counted = settings.rate.most is None and index_in_cache(info) is not None
    return None if counted else list_frames(info)


def _index_of(scene: Scene, info: VideoInfo) -> FrameIndex:
    """The scene's own count of frames, which its depth is numbered by."""
    known = VideoInfo.from_json(scene.read_video())
    if (known.size_bytes, known.sha256_head_tail) != (info.size_bytes, info.sha256_head_tail):
        raise SceneError(
            f"The scene {scene.root} is of another video than {info.path}.", "Correct the column scene."
        )
    return scene.frame_index()


def _choice_of(scene: Scene, asked: SignalChoice) -> SignalChoice:
    """How the scene's pictures were taken; raises ``SceneError`` where something else is asked for."""
    known = scene.film()[0].choice
    if asked not in (known, SignalChoice()):
        raise SceneError(
            f"{scene.root} has depth of pictures with --deinterlace {known.deinterlace} --color {known.color}.",
            "Give the same, or none of them.",
        )
    return known


def _rate_of(scene: Scene) -> Fraction | None:
    """How many of the scene's images follow each other a second; None for a film, which has its own clock."""
    info = scene.video()
    return info.fps if info.is_sequence else None


def _depth_of(scene: Scene) -> Depth:
    if not scene.depth_record_path.is_file():
        raise InputError(
            f"{scene.root} has no merged depth.",
            f"Run 'vda merge {quoted(scene.root)}' first, or give --make-depth.",
        )
    source = open_depth(scene.merged_dir)
    assert source.record is not None
    return Depth(source, source.record)


def _oddities(info: VideoInfo) -> tuple[str, ...]:
    odd = info.width % 2 or info.height % 2
    return (f"The size is odd: {info.width}x{info.height}.",) if odd else ()


def scene_of(item: Item, places: Places) -> Scene:
    """The scene that the row names. Raises ``InputError`` where it names none, or one that is not there."""
    if item.scene is None:
        raise InputError(
            f"Row {item.row} names no scene, so there is no depth.",
            "Fill the column scene, or give --make-depth to have it computed.",
        )
    return Scene(places.other("scene", item.scene))
