"""The stage: what every target needs is made ready, and the target's writer is called.

A scene and the user's wishes go in; files for another program and a report come out. Three of the targets live in
somebody's reconstruction: their depth is brought to its unit of length by a fit to its points, shot by shot; where
it has no points, the depth has to be in metres already, and the reconstruction too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.calibration.fit import Calibration, load_calibration
from vda.calibration.identity import Fingerprint, require_one_scale
from vda.calibration.points import fit_to_points
from vda.camera.choice import CameraChoice, choose_camera, fit_to_video
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera
from vda.camera.reconstruction import View, read_reconstruction
from vda.camera.undistorting import pinhole_of
from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.doubtful import edge_radius
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError, UsageError
from vda.exporting import clouds, colmap, nerfstudio, recording, splatting, tum
from vda.exporting.cameras import MODEL_FILES, camera_files, heed_lenses, write_cameras
from vda.exporting.frames import Doubtful, FrameSource
from vda.exporting.request import CAMERAS, TAKE_RELATIVE, ExportContext, ExportSettings, Metric, check_settings
from vda.exporting.written import Written
from vda.files import depth_image_name, refuse_to_overwrite
from vda.reporter import Noted, Reporter
from vda.scene.scene import Scene
from vda.video import FrameIndex, VideoInfo

Values = NDArray[np.float64]

_WRITERS: Mapping[str, Callable[..., list[Path]]] = {
    "ply": clouds.write,
    "nerfstudio": nerfstudio.write,
    "gaussian-splatting": splatting.write,
    "tum": tum.write,
    "rerun": recording.write,
    "colmap": colmap.write,
    "dn-splatter": colmap.write_dn_splatter,
}
TARGETS = (*_WRITERS, CAMERAS)


@dataclass(frozen=True)
class ExportReport:
    """``fits`` are scale, shift and error for each shot fitted.

    ``unit`` is metre, reconstruction, relative, or none where only cameras were asked for and no poses given.
    """

    target: str
    frames: int
    unit: str
    fits: tuple[Calibration, ...]
    written: tuple[Path, ...]
    said: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        fits = [
            {"scale": fit.scale, "shift": fit.shift, "points": fit.samples, "error": fit.error}
            for fit in self.fits
        ]
        return {
            "target": self.target,
            "frames": self.frames,
            "unit": self.unit,
            "fits": fits,
            "written": [str(path) for path in self.written],
            "said": list(self.said),
        }


def export(settings: ExportSettings, *, reporter: Reporter | None = None) -> ExportReport:
    """Write the depth of a scene for another program; ``reporter`` is told what was fitted and how well.

    Raises ``UsageError`` without poses where they are needed, ``InputError`` for depth without a unit where one
    is needed.
    """
    noted = Noted(reporter)
    if settings.target not in TARGETS:
        raise UsageError(f"There is no target {settings.target}.", f"Choose one of: {', '.join(TARGETS)}.")
    check_settings(settings)
    refuse_to_overwrite(settings.output, overwrite=settings.overwrite, is_file=False)
    written = Written(settings.output)
    own = camera_files(settings)
    written.refuse_strangers([*own, *(written.names_like("images/frame_??????.png") if own else [])])
    if settings.poses is not None:
        written.refuse_poses(settings.poses, MODEL_FILES)
    scene = Scene(settings.scene)
    info, index = scene.film()
    depth = open_depth(scene.require_merged())
    if settings.target != CAMERAS:
        scene.require_video()
    views = views_of(settings, index, depth, noted)
    if info.pixel_aspect != 1:
        noted.say(_shape_remark(info))
    asked = settings.camera.of_video(scene.read_video())
    camera_of = cameras_of(asked, views, (info.width, info.height), noted)
    wanted = [frame for frame in depth.frames if not views or frame in views][:: settings.every]
    heed_lenses(settings, {camera_of(frame) for frame in wanted}, noted)
    if settings.target == CAMERAS:
        cameras = [_posed(frame, index, camera_of(frame), views.get(frame), depth.record) for frame in wanted]
        if settings.undistort:
            cameras = [replace(camera, intrinsics=pinhole_of(camera.intrinsics)) for camera in cameras]
        metric = Metric((), (), "reconstruction" if views else "none")
        paths = write_cameras(cameras, float(info.fps), written, noted)
    else:
        metric = metric_of(settings, scene, depth, views, noted)
        limits = (settings.near, settings.far, _doubtful(settings, depth))
        source = FrameSource(
            info, index, depth, camera_of, metric.to_depth, views, *limits, undistort=settings.undistort
        )
        noted.begin(f"exporting to {settings.target}", len(wanted))
        context = ExportContext(len(wanted), (info.width, info.height), settings, metric, depth, written)
        paths = _WRITERS[settings.target](source.frames(wanted, noted), context, noted)
    if settings.output.is_dir():
        written.remove_stale()
    return ExportReport(
        settings.target, len(wanted), metric.unit, metric.calibrations, tuple(paths), tuple(noted.said)
    )


def _doubtful(settings: ExportSettings, depth: DepthSource) -> Doubtful:
    # What cannot mark a pixel as invalid gets no holes, and no share of them is told.
    marks = settings.target != "gaussian-splatting"
    radius = None
    if marks and settings.edges == "drop":
        record = depth.record
        radius = (
            edge_radius(0, None)
            if record is None
            else edge_radius(record.seen_width, record.settings.get("net_width"))
        )
    return Doubtful(radius, marks and settings.sky == "drop")


def _posed(
    frame: int, index: FrameIndex, camera: Intrinsics, view: View | None, record: DepthRecord | None
) -> PosedCamera:
    """The camera of the reconstruction's image; without one, that of the depth image, of the depth's size."""
    time_s = float(index.times_of(np.array([frame]))[0])
    if view is not None:
        return PosedCamera(frame, time_s, view.name, camera, view.camera_to_world)
    own = camera if record is None else camera.scaled(record.width, record.height)
    return PosedCamera(frame, time_s, depth_image_name(frame), own, None)


def cameras_of(
    asked: CameraChoice, views: Mapping[int, View], size: tuple[int, int], reporter: Reporter
) -> Callable[[int], Intrinsics]:
    """The camera of each frame, for images of ``size``: the one asked for, else that of the frame's own image.

    Raises ``InputError`` where there is none, or one for images of another shape.
    """
    own = {view.camera for view in views.values() if view.camera is not None}
    if asked.numbers is not None or asked.file is not None or asked.fov_deg is not None or not own:
        camera = choose_camera(None, asked, size, reporter)
        return lambda frame: camera
    fitted = {camera: fit_to_video(camera, size, asked.setting, reporter) for camera in own}
    if len(own) > 1:
        reporter.say(f"The images were taken with {len(own)} cameras; each keeps its own.")
    known = {frame: fitted[view.camera] for frame, view in views.items() if view.camera is not None}
    return known.__getitem__


def _shape_remark(info: VideoInfo) -> str:
    width, height = info.pixel_aspect.as_integer_ratio()
    return (
        f"The pixels are not square (width to height {width}:{height}), and pictures and depth keep them: "
        "the camera's fx and fy differ by that ratio."
    )


def views_of(
    settings: ExportSettings, index: FrameIndex, depth: DepthSource, reporter: Reporter
) -> dict[int, View]:
    """The reconstruction's views by frame, of those frames that have depth."""
    if settings.poses is None:
        return {}
    views = read_reconstruction(
        settings.poses,
        index.times_s,
        settings.image_base,
        frames=index.frames,
        named=index.numbers is not None,
        by_order=settings.by_order,
        image_folder=settings.image_folder,
        reporter=reporter,
    )
    kept = {view.frame: view for view in views if view.frame in depth}
    if not kept:
        raise InputError(
            "No image of the reconstruction is of a frame that has depth.", "Check the frame numbers."
        )
    if len(kept) < len(views):
        reporter.say(
            f"{len(views) - len(kept)} images of the reconstruction are left out: their frames have no depth."
        )
    return kept


def metric_of(
    settings: ExportSettings, scene: Scene, depth: DepthSource, views: Mapping[int, View], reporter: Reporter
) -> Metric:
    """A fit to the reconstruction's points where it has them; else metres; else, if wanted, no unit."""
    record = depth.record
    if record is None:
        raise InputError(f"{scene.merged_dir} has no depth.json.", "Merge the scene again.")
    kind = record.quantizer.kind
    shots = tuple((shot["start_frame"], shot["end_frame"]) for shot in record.shots) or ((0, 1 << 62),)
    if any(len(view.depth) for view in views.values()):
        # A reconstruction ends at a cut: shots that it has nothing of are not exported either.
        shots = tuple(shot for shot in shots if any(shot[0] <= frame < shot[1] for frame in views))
        return Metric(
            shots, tuple(fit_to_points(shot, depth, kind, views, reporter) for shot in shots), "reconstruction"
        )
    kept = load_calibration(scene.calibration_path)
    if kept is not None and kept.kind == kind:
        require_one_scale(len(record.shots) if kind == "inverse_depth" else 1)
        if kept.made_for is not None and not kept.made_for.fits(Fingerprint.of(depth.frames, depth.read)):
            raise InputError(
                f"The calibration in {scene.calibration_path} was made for other depth than is there now.",
                "Calibrate again with vda enrich, or remove that file.",
            )
        return Metric(shots, (kept,) * len(shots), "metre")
    plain = Metric(shots, (Calibration(1.0, 0.0, kind),) * len(shots), "metre" if kind == "depth" else "relative")
    if plain.unit == "metre":
        return plain
    if settings.target not in TAKE_RELATIVE or not settings.allow_relative:
        or_relative = ", or --allow-relative." if settings.target in TAKE_RELATIVE else "."
        if len(record.shots) > 1:
            raise InputError(
                f"This depth is relative, and each of its {len(record.shots)} shots has a scale of its own.",
                "Give --poses with points (a COLMAP sparse model), to which every shot is fitted, or compute one "
                f"shot with --frames A:B and calibrate that, or use a metric model{or_relative}",
            )
        raise InputError(
            "This depth is relative: it has no metres, and there are no points of a reconstruction to fit it to.",
            f"Calibrate it with vda enrich, or give --poses with points (a COLMAP sparse model){or_relative}",
        )
    if views:
        raise InputError(
            "Relative depth has a unit of its own, and the poses have another: what frames see would not meet.",
            "Calibrate it with vda enrich, or leave out --poses: all is then in each frame's own camera axes.",
        )
    return plain
