"""A video file in, frames with exact times out, and clips written: the only place that knows FFmpeg (PyAV)."""

from vda.video.index import FrameIndex, index_frames
from vda.video.info import VideoInfo, probe, stated_rate
from vda.video.reading import Frame, read_frame_list, read_frames
from vda.video.writing import ClipWriter, write_clip

__all__ = [
    "ClipWriter",
    "Frame",
    "FrameIndex",
    "VideoInfo",
    "index_frames",
    "probe",
    "read_frame_list",
    "read_frames",
    "stated_rate",
    "write_clip",
]
