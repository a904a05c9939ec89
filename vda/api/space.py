"""Depth into space: positions on tracks, and files for other programs.

In: paths and the options of ``vda enrich`` and ``vda export``, as keywords. Out: files, and a report of what came
of it. This file does not know how a position is found, nor any format: settings are made of the
keywords once, and the stages are called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from vda.api.results import StrPath
from vda.calibration.choice import CalibrationChoice
from vda.calibration.fit import KnownDistance
from vda.calibration.sampling import Region
from vda.camera.choice import CameraChoice, CameraSetting
from vda.enriching.motion import MotionModel
from vda.enriching.settings import DepthChoice, EnrichSettings, Report
from vda.enriching.stage import enrich_file
from vda.errors import UsageError
from vda.exporting import ExportReport, ExportSettings
from vda.exporting import export as export_scene
from vda.exporting.depthfiles import DepthKind
from vda.reporter import Reporter
from vda.tracks import Asked

Size = tuple[int, int]
Crop = tuple[int, int, int, int]
Turn = Literal[0, 90, 180, 270]
Base = Literal[0, 1]


def enrich(
    scene: StrPath | None = None,
    *,
    tracks: StrPath,
    output: StrPath,
    depth_dir: StrPath | None = None,
    depth_scale: float | None = None,
    by_order: bool = False,
    track_format: str | None = None,
    frame_base: Base | None = None,
    frame_field: str | None = None,
    track_size: Size | None = None,
    fx: float | None = None,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
    camera_size: Size | None = None,
    camera: StrPath | None = None,
    camera_id: int | None = None,
    camera_turn: Turn | None = None,
    camera_crop: Crop | None = None,
    fov: float | None = None,
    assume_fov: bool = False,
    poses: StrPath | None = None,
    image_base: Base | None = None,
    image_folder: str | None = None,
    scale: float | None = None,
    shift: float | None = None,
    known_distance: Sequence[str] = (),
    known_size: str | None = None,
    pitch: float | None = None,
    reference_depth: StrPath | None = None,
    reference_scale: float | None = None,
    allow_relative: bool = False,
    at: Literal["auto", "window", "box", "mask"] = "auto",
    window: int = 7,
    inner: float = 0.5,
    box_point: Literal["center", "bottom"] = "center",
    statistic: Literal["median", "nearest", "percentile"] = "median",
    percentile: float = 20.0,
    min_share: float = 0.1,
    smooth: bool = False,
    acceleration: float = 2.0,
    max_gap: float = 1.0,
    fps: float | None = None,
    also: Sequence[Literal["csv", "parquet", "sheet"]] = (),
    figure: StrPath | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Report:
    """Write ``tracks`` again as ``output`` with 3D positions, by the depth of ``scene``: ``vda enrich``.

    Positions are in camera coordinates (x right, y down, z forward), in metres; ``allow_relative`` takes them up
    to scale. With ``poses`` records have a place in the world as well. ``reporter`` is told which camera and
    calibration were used. Raises ``InputError`` where no camera is known or the depth has no metres,
    ``UsageError`` for options that contradict each other.
    """
    settings = EnrichSettings(
        tracks=Path(tracks),
        output=Path(output),
        depth=DepthChoice(path_of(scene), path_of(depth_dir), depth_scale, by_order=by_order),
        track_format=track_format,
        asked=Asked(frame_base, frame_field, track_size, masks=at == "mask"),
        camera=camera_choice(
            fx, fy, cx, cy, camera_size, camera, camera_id, camera_turn, camera_crop, fov, assume_fov
        ),
        calibration=_calibration(
            scale, shift, known_distance, known_size, pitch, reference_depth, reference_scale, by_order
        ),
        region=Region(at, window, inner, box_point, statistic, percentile, min_share),
        allow_relative=allow_relative,
        motion=MotionModel(acceleration, max_gap) if smooth else None,
        times_fps=fps,
        poses=path_of(poses),
        image_base=image_base,
        image_folder=image_folder,
        also=tuple(also),
        figure=path_of(figure),
        overwrite=overwrite,
    )
    return enrich_file(settings, reporter=reporter)


def export(
    scene: StrPath,
    *,
    to: str,
    output: StrPath,
    poses: StrPath | None = None,
    image_base: Base | None = None,
    image_folder: str | None = None,
    by_order: bool = False,
    every: int = 1,
    stride: int = 2,
    near: float = 0.0,
    far: float = float("inf"),
    allow_relative: bool = False,
    edges: Literal["keep", "drop"] = "keep",
    sky: Literal["keep", "drop"] = "keep",
    undistort: bool = False,
    depth_as: DepthKind | None = None,
    points: int = 100_000,
    tracks: StrPath | None = None,
    track_format: str | None = None,
    frame_base: Base | None = None,
    frame_field: str | None = None,
    track_size: Size | None = None,
    overwrite: bool = False,
    fx: float | None = None,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
    camera_size: Size | None = None,
    camera: StrPath | None = None,
    camera_id: int | None = None,
    camera_turn: Turn | None = None,
    camera_crop: Crop | None = None,
    fov: float | None = None,
    assume_fov: bool = False,
    reporter: Reporter | None = None,
) -> ExportReport:
    """Write the depth of ``scene`` for another program: ``vda export``.

    ``to`` is ply, nerfstudio, gaussian-splatting, tum, rerun, colmap, dn-splatter or cameras; ``every`` is a step
    of frames, ``stride`` one of a cloud's pixels, ``points`` how many points of the world a training begins with,
    ``depth_as`` the kind of depth file for nerfstudio and colmap; ``edges`` and ``sky`` leave doubtful pixels out;
    ``undistort`` takes the lens out of pictures, depth and cameras.
    Raises ``UsageError`` without ``poses`` where a
    target needs them, ``InputError`` for depth without a unit where one is needed.
    """
    settings = ExportSettings(
        scene=Path(scene),
        target=to,
        output=Path(output),
        poses=path_of(poses),
        image_base=image_base,
        image_folder=image_folder,
        by_order=by_order,
        camera=camera_choice(
            fx, fy, cx, cy, camera_size, camera, camera_id, camera_turn, camera_crop, fov, assume_fov
        ),
        every=every,
        stride=stride,
        near=near,
        far=far,
        allow_relative=allow_relative,
        edges=edges,
        sky=sky,
        undistort=undistort,
        depth_as=depth_as,
        points=points,
        tracks=path_of(tracks),
        track_format=track_format,
        asked=Asked(frame_base, frame_field, track_size),
        overwrite=overwrite,
    )
    return export_scene(settings, reporter=reporter)


def camera_choice(
    fx: float | None,
    fy: float | None,
    cx: float | None,
    cy: float | None,
    size: Size | None,
    file: StrPath | None,
    camera_id: int | None,
    turn: Turn | None,
    crop: Crop | None,
    fov_deg: float | None,
    assume_fov: bool,
) -> CameraChoice:
    """The camera that the keywords tell of; ``UsageError`` where they contradict each other."""
    if fx is None and (fy, cx, cy) != (None, None, None):
        raise UsageError("--fy, --cx and --cy are of no use without --fx.", "Give --fx as well.")
    if turn not in (None, *get_args(Turn)):
        raise UsageError(f"--camera-turn {turn} is not possible.", "Give one of: 0, 90, 180, 270.")
    numbers = None if fx is None else (fx, fy, cx, cy)
    setting = CameraSetting(None if turn is None else turn // 90, crop)
    return CameraChoice(numbers, size, path_of(file), camera_id, fov_deg, assume_fov, setting)


def _calibration(
    scale: float | None,
    shift: float | None,
    known_distance: Sequence[str],
    known_size: str | None,
    pitch_deg: float | None,
    reference: StrPath | None,
    reference_scale: float | None,
    by_order: bool,
) -> CalibrationChoice:
    if scale is None and shift is not None:
        raise UsageError("--shift is of no use without --scale.", "Give --scale as well.")
    numbers = None if scale is None else (scale, shift or 0.0)
    distances = tuple(KnownDistance.parse(text) for text in known_distance)
    return CalibrationChoice(
        numbers=numbers,
        distances=distances,
        height=_height(known_size),
        pitch_deg=pitch_deg,
        reference=path_of(reference),
        reference_scale=reference_scale,
        by_order=by_order,
    )


def _height(text: str | None) -> tuple[float, str | None] | None:
    if text is None:
        return None
    metres, _, category = text.partition(",")
    try:
        return float(metres), category.strip() or None
    except ValueError as error:
        raise UsageError(f"{text!r} is not a known size.", "Write it as HEIGHT_M or HEIGHT_M,CLASS.") from error


def path_of(path: StrPath | None) -> Path | None:
    """A path as one, and None as None."""
    return None if path is None else Path(path)
