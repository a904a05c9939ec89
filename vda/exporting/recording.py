"""A rerun recording (``.rrd``): camera, picture, depth, cloud and tracks, to look at in space and time.

Times are the video's own; the world is the reconstruction's where poses are known, else the camera stands still.
Boxes and points of tracks are drawn into the picture; in space stand those that ``vda enrich`` gave a place.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import resized
from vda.camera.intrinsics import normalise, project
from vda.exporting.clouds import in_world, points_of
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import atomic_path
from vda.reporter import Reporter
from vda.tracks import Tracks, read_tracks

Floats = NDArray[np.float64]
_JPEG_QUALITY = 85


class _Things:
    """What the tracks have in a frame, in pixels of the exported pictures and in metres of the camera."""

    def __init__(self, context: ExportContext, reporter: Reporter) -> None:
        path, video = context.settings.tracks, context.video_size
        self._tracks: Tracks | None = None
        if path is None:
            return
        told = context.settings.asked
        asked = replace(told, size=told.size or video, positions=True)
        self._tracks = read_tracks(path, context.settings.track_format, asked)
        self._size = told.size or self._tracks.header.size or video
        self._in_space = context.metric.unit == "metre"
        self._order = np.argsort(self._tracks.frame, kind="stable")
        self._frames = self._tracks.frame[self._order]
        placed = int(np.isfinite(self._places()[:, 0]).sum())
        if not self._in_space and placed:
            reporter.say(f"{path} has places in metres, and this depth is not in metres: only boxes are shown.")
        elif not placed:
            reporter.say(f"{path} has no places in space: only boxes are shown. Give it to vda enrich first.")
        else:
            reporter.say(f"{placed} of {len(self._tracks)} records of {path} are shown in space.")

    def _places(self) -> Floats:
        assert self._tracks is not None
        assert self._tracks.position is not None
        return self._tracks.position

    def log(self, rr: Any, recording: Any, frame: ExportFrame) -> None:
        """Log what is in ``frame``; an empty list where nothing is, for rerun shows the last one until then."""
        if self._tracks is None:
            return
        first, last = np.searchsorted(self._frames, [frame.index, frame.index + 1])
        rows = self._order[first:last]
        names = np.array([self._name(row) for row in rows], object)
        boxes = self._in_picture(self._tracks.box[rows].reshape(-1, 2), frame).reshape(-1, 4)
        shown = np.isfinite(boxes).all(axis=1)
        recording.log(
            "world/camera/image/boxes",
            rr.Boxes2D(array=boxes[shown], array_format=rr.Box2DFormat.XYXY, labels=list(names[shown])),
        )
        points = self._in_picture(self._tracks.point[rows], frame)
        shown = np.isfinite(points).all(axis=1)
        recording.log("world/camera/image/points", rr.Points2D(points[shown], labels=list(names[shown])))
        if self._in_space:
            places = in_world(self._places()[rows], frame)
            shown = np.isfinite(places).all(axis=1)
            recording.log("world/tracks", rr.Points3D(places[shown], labels=list(names[shown]), radii=0.1))

    def _name(self, row: int) -> str:
        assert self._tracks is not None
        code = self._tracks.track[row]
        return str(self._tracks.track_names[code]) if code >= 0 else ""

    def _in_picture(self, pixels: Floats, frame: ExportFrame) -> Floats:
        """Pixels of the tracks' image in the exported picture, whose lens may have been taken out."""
        height, width = frame.depth.shape
        seen = resized(pixels, self._size, (width, height))
        if frame.seen_by == frame.camera:
            return seen
        rays = normalise(frame.seen_by, seen)
        return project(frame.camera, np.concatenate([rays, np.ones((len(rays), 1))], axis=1))


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write the recording."""
    import rerun as rr

    output = context.settings.output
    things = _Things(context, reporter)
    with atomic_path(output) as temporary:
        recording = rr.RecordingStream("vda")
        recording.save(str(temporary))
        recording.log("world", rr.ViewCoordinates.RDF, static=True)
        for frame in frames:
            _log_frame(rr, recording, frame, context)
            things.log(rr, recording, frame)
        recording.flush()
        recording.disconnect()
    return [output]


def _log_frame(rr: Any, recording: Any, frame: ExportFrame, context: ExportContext) -> None:
    recording.set_time("frame", sequence=frame.index)
    recording.set_time("time", duration=frame.time_s)
    if frame.view is not None:
        pose = frame.view.camera_to_world
        recording.log("world/camera", rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
    camera = frame.camera
    recording.log(
        "world/camera/image",
        rr.Pinhole(image_from_camera=camera.matrix, width=camera.width, height=camera.height),
    )
    recording.log("world/camera/image/rgb", rr.Image(frame.rgb).compress(jpeg_quality=_JPEG_QUALITY))
    depth = np.nan_to_num(frame.depth, nan=0.0).astype(np.float32)
    recording.log("world/camera/image/depth", rr.DepthImage(depth, meter=1.0))
    points, colours = points_of(frame, context.settings.stride)
    recording.log("world/cloud", rr.Points3D(points, colors=colours))
