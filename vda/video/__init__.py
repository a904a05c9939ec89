"""A video in, frames with exact times out, and clips written: the only place that knows FFmpeg (PyAV).

A video is a container or a sequence of images; ``info.probe`` decides, and behind it nobody has to know.

    info       what a video is, before its frames are counted; whether a file is still that video
    rates      what frame times come to: the exact rate, times that rise
    opening    one file opened, that file alone; whether all its bytes are there
    decoding   an open stream: demuxing, decoding, seeking, FFmpeg's errors
    damage     what is wrong with a file, in sentences
    index      which frames really decode, and when each is shown
    sequence   images as the frames of a video
    seeking    decoded frames by index, as in reading from the start
    reading    frames by index, upright, in RGB
    notes      what is unusual about a video, in sentences
    sound      the sound of a film, copied beside pictures made of it
    writing    clips written, whole or absent

Nothing here knows what the frames are for.
"""

from vda.video.index import FrameIndex, index_frames, index_in_cache, list_frames
from vda.video.info import VideoInfo, identity, is_same, probe, require_same, stated_rate
from vda.video.notes import notes_of
from vda.video.opening import Decoder
from vda.video.reading import Frame, NotAsListed, map_frame_list, read_frame_list, read_frames, read_listed
from vda.video.sound import Sound
from vda.video.writing import ClipWriter, write_clip

__all__ = [
    "ClipWriter",
    "Decoder",
    "Frame",
    "FrameIndex",
    "NotAsListed",
    "Sound",
    "VideoInfo",
    "identity",
    "index_frames",
    "index_in_cache",
    "is_same",
    "list_frames",
    "map_frame_list",
    "notes_of",
    "probe",
    "read_frame_list",
    "read_frames",
    "read_listed",
    "require_same",
    "stated_rate",
    "write_clip",
]
