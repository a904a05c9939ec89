"""A rerun recording (``.rrd``): camera, picture, depth, cloud and tracks, to look at in space and time.

Times are the video's own; the world is the reconstruction's where poses are known, else the camera stands still.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vda.errors import UsageError
from vda.exporting.clouds import points_of
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import atomic_path
from vda.reporter import Reporter
from vda.tracks import read_tracks
from vda.tracks.jsonstream import stream

_JPEG_QUALITY = 85


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write the recording; tracks are those of a classic file that ``vda enrich`` wrote."""
    try:
        import rerun as rr
    except ImportError as error:
        raise UsageError("Recordings need rerun.", "Install it: pip install 'vda-toolkit[export]'.") from error
    output = context.settings.output
    positions = _positions(context.settings.tracks) if context.settings.tracks else {}
    with atomic_path(output) as temporary:
        recording = rr.RecordingStream("vda")
        recording.save(str(temporary))
        recording.log("world", rr.ViewCoordinates.RDF, static=True)
        for frame in frames:
            _log_frame(rr, recording, frame, context)
            _log_tracks(rr, recording, positions.get(frame.index, []), frame)
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


def _log_tracks(rr: Any, recording: Any, things: list[tuple[str, list[float]]], frame: ExportFrame) -> None:
    if not things:
        return
    points = np.array([position for _, position in things])
    if frame.view is not None:
        pose = frame.view.camera_to_world
        points = points @ pose[:3, :3].T + pose[:3, 3]
    recording.log("world/tracks", rr.Points3D(points, labels=[name for name, _ in things], radii=0.1))


def _positions(path: Path) -> dict[int, list[tuple[str, list[float]]]]:
    """Names and positions by frame."""
    tracks = read_tracks(path)
    found: dict[int, list[tuple[str, list[float]]]] = {}
    records = (event.value for event in stream(path, ("tracks",)) if event.kind == "item")
    for row, record in enumerate(records):
        position = record.get("vda_position_3d") if isinstance(record, dict) else None
        if position is not None:
            code = tracks.track[row]
            name = str(tracks.track_names[code]) if code >= 0 else ""
            found.setdefault(int(tracks.frame[row]), []).append((name, [position[axis] for axis in "xyz"]))
    return found
