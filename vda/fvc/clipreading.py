"""Frames of scaled files by their places, from anywhere in them: pictures, codes of depth, boxes of tracks.

In: a row of the scaled table and places. Out: arrays. What scaling wrote is trusted to be as it was written
(``vda fvc verify`` looks): frames are found by the container's list, and decoding begins at the key frame before.
No file stays open, and only the lists of the last videos are kept. This file does not know how clips are chosen.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.codes import Codes, DepthRecord
from vda.depthmaps.files import read_png16
from vda.errors import InputError, VideoError
from vda.files import DEPTH_RECORD_NAME, depth_image_name
from vda.fvc.scaledtable import ScaledVideo
from vda.records import read_record as read_json_record
from vda.tracks import read_tracks
from vda.tracks.jsonstream import stream
from vda.tracks.records import frame_of
from vda.video import FrameIndex, VideoInfo, list_frames, probe, read_frame_list
from vda.video.decoding import OpenVideo

# A list takes 16 bytes per frame: some MB for so many videos of a minute.
_LISTS_KEPT = 512
_SCALE_AGAIN: Final = "Run the same vda fvc scale again."


@dataclass(frozen=True)
class _Times:
    times_seconds: list[float]


def read_pictures(video: ScaledVideo, places: NDArray[np.int64]) -> np.ndarray:
    """RGB uint8 [n, height, width, 3] of the frames at rising ``places``, which may repeat."""
    if video.video is None:
        raise _absent(video, "pictures", "rgb or both")
    info, index = _listed(video.video, video.frames)
    wanted, shown = np.unique(places, return_inverse=True)
    pictures = np.stack([frame.rgb for frame in read_frame_list(info, index, wanted.tolist(), threads=1)])
    return pictures[shown]


def read_codes(video: ScaledVideo, places: NDArray[np.int64]) -> Codes:
    """Codes of depth uint16 [n, height, width] at rising ``places``, 0 where there is none."""
    if video.depth is None:
        raise _absent(video, "depth", "depth or both")
    wanted, shown = np.unique(places, return_inverse=True)
    if video.depth.is_dir():
        codes = [read_png16(video.depth / depth_image_name(place)) for place in wanted.tolist()]
    else:
        codes = _grey_frames(video.depth, video.frames, wanted)
    return np.stack(codes)[shown]


def read_record(video: ScaledVideo) -> DepthRecord:
    """What the codes of ``video`` mean."""
    if video.depth is None:
        raise _absent(video, "depth", "depth or both")
    about = video.depth / DEPTH_RECORD_NAME if video.depth.is_dir() else video.depth.with_suffix(".json")
    return DepthRecord.read(about)


def read_times(video: ScaledVideo) -> NDArray[np.float64]:
    """When each frame is shown, in seconds from 0, float64 [frames]."""
    if video.times is None:
        return np.arange(video.frames) / video.fps
    times = clip_times(video.times)
    if len(times) != video.frames:
        raise InputError(f"{video.times} has not the times of {video.frames} frames.", _SCALE_AGAIN)
    return times


def clip_times(path: Path) -> NDArray[np.float64]:
    """The times that the file ``path`` holds, in seconds from 0; ``InputError`` where it does not."""
    return np.array(read_json_record(path, _Times, _SCALE_AGAIN).times_seconds, np.float64)


def read_boxes(video: ScaledVideo, places: NDArray[np.int64]) -> dict[str, np.ndarray]:
    """The records in frames at ``places``: ``place`` int64 [m] in the clip, ``track`` int64 [m], ``box`` float32.

    Boxes [m, 4] are x1, y1, x2, y2 in pixels of the scaled picture. Tracks are numbered in the order in which the
    file first names them; a record without a box or track is left out.
    """
    if video.tracks is None:
        return {
            "place": np.empty(0, np.int64),
            "track": np.empty(0, np.int64),
            "box": np.empty((0, 4), np.float32),
        }
    tracks = read_tracks(video.tracks)
    frames = np.array(_scaled_frames(video.tracks), np.int64)
    usable = (tracks.track >= 0) & np.isfinite(tracks.box).all(1)
    rows, clip_places = np.nonzero((frames[:, None] == places) & usable[:, None])
    order = np.lexsort((rows, clip_places))
    rows, clip_places = rows[order], clip_places[order]
    return {"place": clip_places, "track": tracks.track[rows], "box": tracks.box[rows].astype(np.float32)}


def _scaled_frames(path: Path) -> list[int]:
    """``scaled_frame`` of each record, -1 where the scaled video has not its frame."""
    items = (event for event in stream(path, ("tracks", "annotations")) if event.kind == "item")
    return [-1 if (place := _value(event.value)) is None else place for event in items]


def _value(record: Any) -> int | None:
    return frame_of(record.get("scaled_frame")) if isinstance(record, dict) else None


@lru_cache(maxsize=_LISTS_KEPT)
def _listed(path: Path, frames: int) -> tuple[VideoInfo, FrameIndex]:
    info = probe(path)
    index = list_frames(info)
    if index is None or len(index) != frames:
        raise VideoError(
            f"{path} has not the {frames} frames that its row promises.",
            "Run the same vda fvc scale again, which makes it anew.",
        )
    return info, index


def _grey_frames(path: Path, frames: int, wanted: NDArray[np.int64]) -> list[Codes]:
    """Every frame of scaled depth is a key frame, so the first wanted one is where a seek lands."""
    info, index = _listed(path, frames)
    places = {int(index.pts[place]): place for place in wanted.tolist()}
    found: dict[int, Codes] = {}
    with OpenVideo(info.path, info.stream_index, threads=1) as source:
        source.seek(int(index.pts[wanted[0]]))
        for pts, frame in source.timed_frames():
            if pts in places:
                found[places[pts]] = frame.to_ndarray().astype(np.uint16, copy=False)
            if len(found) == len(places):
                return [found[place] for place in wanted.tolist()]
    raise VideoError(f"{path} does not decode to its end.", "Run the same vda fvc scale again.")


def _absent(video: ScaledVideo, what: str, modality: str) -> InputError:
    return InputError(f"{video.name} has no {what}.", f"Scale the videos with --modality {modality}.")
