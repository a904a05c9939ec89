"""The stage that puts tracks into space: a tracker's file and depth images in, the file with 3D positions out.

Where a record is in space is the ray of its pixel times the depth measured there. Depth without a unit has no
metres, and none are made up: it needs a calibration, or the user has to ask for positions up to scale. What was
found and what was not is counted by reason. This file does not know track formats, nor how depth was computed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.calibration.choice import choose_calibration
from vda.calibration.fit import Calibration
from vda.calibration.sampling import DepthImages, Region, measure
from vda.camera.choice import choose_camera
from vda.camera.intrinsics import Intrinsics, same_shape, unproject
from vda.camera.reconstruction import read_reconstruction
from vda.depthmaps.codes import Kind
from vda.depthmaps.source import DepthSource, open_depth
from vda.enriching.figure import require_figure_name, write_track_figure
from vda.enriching.motion import MotionModel
from vda.enriching.settings import DepthChoice, EnrichSettings, Report
from vda.enriching.smoothing import TimesOf, smooth
from vda.enriching.world import MovingCamera, carry, measure_boxes, moving_camera
from vda.errors import InputError, UsageError
from vda.files import refuse_to_overwrite
from vda.reporter import Noted, Reporter, Silence
from vda.scene.scene import Scene
from vda.tracks import (
    SHEET_MOST_ROWS,
    Enriched,
    Skip,
    Tracks,
    read_tracks,
    write_sheet,
    write_table,
    write_tracks,
)

_ANYWHERE = Region()
# 100 hours at 100 frames per second: a trajectory is matched to times of as many frames at most.
_MOST_FRAMES = 36_000_000


def enrich(
    tracks: Tracks,
    depth: DepthImages,
    camera: Intrinsics,
    convert: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    relative: bool = False,
    region: Region = _ANYWHERE,
    reporter: Reporter | None = None,
) -> Enriched:
    """Find every record's position in camera coordinates; ``camera`` is for the image the tracks' pixels are for.

    ``convert`` turns what the depth images hold into depth: metres, or something proportional (``relative``).
    """
    reporter = reporter or Silence()
    found = measure(tracks, depth, (camera.width, camera.height), region, convert, reporter)
    enriched = Enriched.empty(found.skip, relative)
    rows = np.flatnonzero(found.skip == Skip.NONE)
    positions = unproject(camera, found.pixel[rows], found.value[rows])
    seen = ~np.isnan(positions).any(axis=1)
    enriched.skip[rows[~seen]] = Skip.NO_RAY
    kept = rows[seen]
    enriched.position[kept] = positions[seen]
    enriched.share[:] = found.share
    for mine, measured in ((enriched.depth, found.value), (enriched.spread, found.spread)):
        mine[kept] = measured[kept]
    if found.unreadable_frames:
        first = found.unreadable_frames[0]
        reporter.say(
            f"{len(found.unreadable_frames)} depth images cannot be read; the first is that of frame {first}."
        )
    return enriched


def enrich_file(settings: EnrichSettings, *, reporter: Reporter | None = None) -> Report:
    """Enrich a track file as ``settings`` ask and write it; ``reporter`` is told all that the user should know.

    Raises ``InputError`` or ``UsageError`` before anything is written: for files that cannot be used, a camera
    that is not known, and relative depth without a calibration.
    """
    noted = Noted(reporter)
    _refuse_existing(settings)
    depth = _open_depth(settings.depth)
    _require_figure(settings.figure, depth.scene)
    video = _video_size(settings, depth)
    noted.begin("reading tracks", None)
    asked = replace(settings.asked, size=settings.asked.size or video)
    tracks = read_tracks(settings.tracks, settings.track_format, asked)
    if not len(tracks):
        noted.say(f"{settings.tracks} holds no records.")
    asked_camera = settings.camera if depth.scene is None else settings.camera.of_video(depth.scene.read_video())
    size = _tracks_size(settings, tracks, video, asked_camera.setting.shape_shown(video))
    chosen = choose_camera(tracks.intrinsics(*size), asked_camera, video, noted)
    camera = chosen.scaled(*size)
    home = depth.scene if depth.is_scenes_own else None
    calibration = choose_calibration(
        settings.calibration, depth.source, depth.kind, tracks, camera, video, home, noted
    )
    relative = calibration is None and depth.kind == "inverse_depth"
    _refuse_relative(relative, settings)
    convert = (calibration or Calibration(1.0, 0.0, depth.kind)).metres
    times = None
    if settings.motion is not None or settings.poses is not None:
        times = _times(settings, depth.scene, tracks)
    moving = None if times is None else _moving(settings, depth, tracks, convert, relative, times, noted)
    noted.begin("enriching", len(np.unique(tracks.frame[tracks.skip == Skip.NONE])))
    enriched = enrich(
        tracks, depth.source, camera, convert, relative=relative, region=settings.region, reporter=noted
    )
    _say_left_out(tracks, depth.source, noted)
    measure_boxes(enriched, tracks, camera)
    if moving is not None and times is not None:
        carry(enriched, tracks, moving, times, noted)
    if settings.motion is not None and times is not None:
        focal = (camera.fx + camera.fy) / 2
        for sentence in smooth(tracks, enriched, times, focal, settings.motion, moving):
            noted.say(sentence)
    enriched.about = _about(camera, calibration, settings.region)
    written = _write(tracks, enriched, settings)
    if "sheet" in settings.also:
        written.append(_write_sheet(settings, depth.scene, tracks, enriched, noted))
    if settings.figure is not None and depth.scene is not None:
        noted.begin("drawing", None)
        write_track_figure(settings.figure, *depth.scene.film(), tracks, enriched, size, noted)
        written.append(settings.figure)
    return Report(
        len(tracks), enriched.skipped(), relative, camera, calibration, tuple(written), tuple(noted.said)
    )


def _say_left_out(tracks: Tracks, depth: DepthSource, reporter: Reporter) -> None:
    """A record between the frames of a thinned-out video has no depth through no fault of the tracker's."""
    if depth.record is None or depth.record.thinning is None:
        return
    left_out = int((~np.isin(tracks.frame, np.array(depth.frames))).sum())
    if left_out:
        reporter.say(
            f"{left_out} records are of frames that the depth leaves out, as --stride or --fps asked; "
            "they have no position."
        )


def _require_figure(path: Path | None, scene: Scene | None) -> None:
    if path is not None:
        require_figure_name(path)
        if scene is None:
            raise UsageError("A figure needs the video, which only a scene knows.", "Name the scene.")
        scene.require_video()


def _refuse_existing(settings: EnrichSettings) -> None:
    if settings.output.resolve() == settings.tracks.resolve():
        raise UsageError("The output is the track file itself.", "Give --output another name.")
    # Labels of some trackers are a folder with a file per frame.
    refuse_to_overwrite(settings.output, overwrite=settings.overwrite, is_file=False)
    for path in (settings.figure, _sheet(settings), *_tables(settings)):
        refuse_to_overwrite(path, overwrite=settings.overwrite)


def _tables(settings: EnrichSettings) -> list[Path]:
    """The flat tables that are wanted beside the output."""
    output = settings.output
    return [output.with_name(f"{output.stem}_table.{suffix}") for suffix in settings.also if suffix != "sheet"]


def _sheet(settings: EnrichSettings) -> Path | None:
    output = settings.output
    return output.with_name(f"{output.stem}_sheet.csv") if "sheet" in settings.also else None


@dataclass(frozen=True)
class _Depth:
    source: DepthSource
    kind: Kind
    scene: Scene | None
    is_scenes_own: bool


def _moving(
    settings: EnrichSettings,
    depth: _Depth,
    tracks: Tracks,
    convert: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    relative: bool,
    times: TimesOf,
    reporter: Reporter,
) -> MovingCamera | None:
    """The camera's way in metres, where poses are given."""
    if settings.poses is None:
        return None
    if relative:
        raise UsageError(
            "Without metres nothing can be put into the world.", "Calibrate the depth, or leave --poses out."
        )
    last = max(int(tracks.frame.max(initial=0)), int(max(depth.source.frames, default=0)))
    frames = np.arange(min(last, _MOST_FRAMES) + 1)
    shown = times(frames)
    known = np.isfinite(shown)
    views = read_reconstruction(
        settings.poses,
        shown[known],
        settings.image_base,
        frames=frames[known].tolist(),
        named=depth.scene is not None and _keeps_names(depth.scene),
        by_order=settings.depth.by_order,
        image_folder=settings.image_folder,
        reporter=reporter,
    )
    gap = (settings.motion or MotionModel()).max_gap_s
    return moving_camera(views, times, depth.source, convert, gap, reporter)


def _keeps_names(scene: Scene) -> bool:
    """Whether frames are images that were there before, with numbers of their own."""
    return scene.index_path.is_file() and scene.frame_index().numbers is not None


def _open_depth(choice: DepthChoice) -> _Depth:
    """The depth, and the scene it belongs to: the one named, or the one the folder lies in."""
    root = choice.scene or (choice.folder.resolve().parent if choice.folder else None)
    scene = Scene(root) if root is not None and (choice.scene or Scene(root).video_path.is_file()) else None
    folder = choice.folder
    if folder is None:
        if scene is None:
            raise UsageError("Nothing says where the depth is.", "Name the scene, or give --depth-dir DIR.")
        folder = scene.require_merged()
    depth = open_depth(folder, scale=choice.scale, by_order=choice.by_order)
    if depth.record is None and choice.scale is None:
        raise UsageError(
            f"The depth in {folder} does not say what its numbers are.",
            "Give --depth-scale 1000 for a sensor's millimetres, or the folder that vda merge wrote.",
        )
    kind = depth.record.quantizer.kind if depth.record else choice.kind
    own = scene is not None and folder.resolve() == scene.merged_dir.resolve()
    return _Depth(depth, kind, scene, own)


def _video_size(settings: EnrichSettings, depth: _Depth) -> tuple[int, int]:
    """The size of the upright video (width, height): the scene's, or that of the depth's record or the depth.

    Raises ``UsageError`` where numbers are for the video's size, and two sizes are known that may be it.
    """
    if depth.scene is not None:
        video = depth.scene.read_video()
        return int(video["width"]), int(video["height"])
    if depth.source.record is not None:
        return depth.source.record.video_size
    height, width = depth.source.read(depth.source.frames[0]).shape
    numbers = settings.camera.numbers is not None and settings.camera.numbers_size is None
    if (numbers or settings.calibration.distances) and settings.asked.size not in (None, (width, height)):
        raise UsageError(
            f"The depth is {width}x{height} and the tracks are for another size: nothing says which of them "
            "--fx or --known-distance is for.",
            "Give --camera-size with --fx; give known distances in a scene, which knows its video's size.",
        )
    return width, height


def _tracks_size(
    settings: EnrichSettings, tracks: Tracks, video: tuple[int, int], shown: tuple[int, int]
) -> tuple[int, int]:
    """The size of the image that the tracks' pixels are for: as asked, as their file says, or the video's.

    It has the shape of the video's pixels, or that of ``shown``, where a tracker saw it with square ones.
    """
    size = settings.asked.size or tracks.header.size or video
    if not (same_shape(size, video) or same_shape(size, shown)):
        raise InputError(
            f"The tracks are for images of {size[0]}x{size[1]}, the video is {video[0]}x{video[1]}: "
            "they are not the same picture.",
            "Check that the tracks belong to this video, or give the size they are for: --track-size WxH.",
        )
    return size


def _refuse_relative(relative: bool, settings: EnrichSettings) -> None:
    if relative and settings.allow_relative and settings.motion is not None:
        raise UsageError("Without metres there is no velocity.", "Calibrate the depth, or leave --smooth out.")
    if relative and not settings.allow_relative:
        raise InputError(
            "This depth is relative: it has no metres, and none can be made up.",
            "Calibrate it with --known-distance, --known-size, --reference-depth or --scale and --shift, or take "
            "positions up to scale with --allow-relative.",
        )


def _times(settings: EnrichSettings, scene: Scene | None, tracks: Tracks) -> TimesOf:
    """When frames are shown; raises ``UsageError`` where nothing says it."""
    times = _known_times(settings, scene, tracks)
    if times is None:
        raise UsageError(
            "Nothing says when the frames were shown, so there is no velocity.", "Give --fps, or name the scene."
        )
    return times


def _known_times(settings: EnrichSettings, scene: Scene | None, tracks: Tracks) -> TimesOf | None:
    """When frames are shown: by the video's own clock, or by a rate."""
    if settings.times_fps is None and scene is not None and scene.index_path.is_file():
        return scene.frame_index().times_of
    rate = settings.times_fps or tracks.header.fps
    return None if rate is None else lambda frames: frames / rate


def _write_sheet(
    settings: EnrichSettings, scene: Scene | None, tracks: Tracks, enriched: Enriched, reporter: Reporter
) -> Path:
    """Write the table for spreadsheets, and say what is missing in it, or too much for them."""
    path = _sheet(settings)
    assert path is not None
    times = _known_times(settings, scene, tracks)
    if times is None:
        reporter.say(f"Nothing says when the frames were shown: the times in {path.name} are empty, see --fps.")
    if len(tracks) > SHEET_MOST_ROWS:
        reporter.say(f"{path.name} has {len(tracks)} rows; spreadsheets open the first {SHEET_MOST_ROWS}.")
    times_s = np.full(len(tracks), np.nan) if times is None else times(tracks.frame)
    write_sheet(tracks, enriched, np.where(tracks.frame >= 0, times_s, np.nan), path)
    return path


def _about(camera: Intrinsics, calibration: Calibration | None, region: Region) -> dict[str, Any]:
    """How the numbers came about, for the file's own metadata."""
    about: dict[str, Any] = {
        "camera": {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")},
        "statistic": region.statistic,
    }
    if calibration is not None:
        about["calibration"] = {name: getattr(calibration, name) for name in ("scale", "shift", "method")}
    return about


def _write(tracks: Tracks, enriched: Enriched, settings: EnrichSettings) -> list[Path]:
    """Write the track file again, and the tables that are wanted beside it."""
    written = write_tracks(tracks, enriched, settings.output)
    for table in _tables(settings):
        write_table(tracks, enriched, table)
        written.append(table)
    return written
