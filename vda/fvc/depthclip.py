"""Scaled depth as files: a video without loss, or images, and beside them what the codes mean.

In: codes, frame by frame, and the record of the depth they were scaled from. Out: files that are whole or absent.
A folder of images is one that ``depthsource`` opens. This file does not know how depth is scaled.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vda.depthmaps.codes import Codes, DepthRecord
from vda.depthmaps.files import write_png16
from vda.files import DEPTH_RECORD_NAME, depth_image_name, storage_errors, temporary_beside
from vda.fvc.checksums import content_checksum
from vda.fvc.depthkind import facts_in
from vda.fvc.geometry import Size
from vda.fvc.rate import Timing
from vda.video import ClipWriter

# Two who write a folder again and again at the same moments are none that there are.
_TRIES = 5


def scaled_record(record: DepthRecord, size: Size, timing: Timing, form: str) -> DepthRecord:
    """What the codes mean, which scaling leaves as it is; frames count from the scaled video's first."""
    missing = set(record.missing_frames)
    return replace(
        record,
        frames=len(timing),
        width=size[0],
        height=size[1],
        settings={"frame_range": [0, len(timing)], **facts_in(record)},
        shots=[],
        missing_frames=[place for place, frame in enumerate(timing.indices.tolist()) if frame in missing],
        clipped=0,
        invalid_pixels=0,
        formats=[form],
        levels={},
        middle_codes=None,
        remarks=[],
        pixel_aspect="1",
        picture={},
        resized_frames=[],
    )


def write_depth_video(path: Path, codes: Iterator[Codes], timing: Timing, record: DepthRecord) -> list[Path]:
    """Write FFV1 in 16-bit grey, and ``record`` beside it under the same name; return both."""
    about = path.with_suffix(".json")
    with ClipWriter(
        path,
        fps=timing.fps,
        time_base=timing.time_base,
        codec="ffv1",
        pix_fmt="gray16le",
        threads=1,
    ) as writer:
        for place, picture in enumerate(codes):
            writer.write(picture, timing.time_of(place))
    record.write(about)
    return [path, about]


def write_depth_images(folder: Path, codes: Iterator[Codes], record: DepthRecord) -> list[Path]:
    """Write a folder of PNG with ``depth.json``, which appears when all are there; return the folder."""
    with _whole_folder(folder) as temporary:
        for place, picture in enumerate(codes):
            write_png16(temporary / depth_image_name(place), picture)
        record.write(temporary / DEPTH_RECORD_NAME)
    return [folder]


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``folder``, or goes where there is an error.

    One that is there with the same in it stays: another process may have made it meanwhile, and be reading it.
    """
    temporary = temporary_beside(folder)
    try:
        with storage_errors(folder):
            temporary.mkdir(parents=True)
        yield temporary
        with storage_errors(folder):
            _take_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, folder: Path) -> None:
    for _ in range(_TRIES):
        if content_checksum(folder) == content_checksum(temporary):
            return
        shutil.rmtree(folder, ignore_errors=True)
        try:
            temporary.rename(folder)
            return
        except OSError as error:
            # Another process's folder appeared there just then, or nobody may remove what is in the way.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            last = error
    raise last
