"""One augmentation of one video: every frame through the same alteration, with its depth and tracks.

In: an opened ``Source`` and an ``Alteration``. Out: files beside each other, each whole or absent. One frame at a
time is in memory. This file does not know which videos there are, nor what was done before.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vda.depthmaps.codes import INVALID_CODE, Codes
from vda.files import atomic_path, storage_errors
from vda.fvc.depthclip import write_depth_images
from vda.fvc.depthkind import facts_in
from vda.fvc.kinds import Alteration
from vda.fvc.rate import Rate, Timing, time_frames
from vda.fvc.source import Depth, Source
from vda.fvc.warptracks import write_warped_tracks
from vda.scene.scene import Scene
from vda.video import ClipWriter, read_frame_list

_PRESET = "veryfast"


@dataclass(frozen=True)
class Names:
    """What the files of one augmentation are called: ``<video id>_aug<n>``, and what is made of it."""

    stem: str

    @property
    def video(self) -> str:
        return f"{self.stem}.mp4"

    @property
    def tracks(self) -> str:
        return f"{self.stem}_tracks.json"

    @property
    def scene(self) -> str:
        return f"{self.stem}_scene"


def write_augmented(source: Source, alteration: Alteration, folder: Path, names: Names, crf: int) -> list[str]:
    """Write the video, its depth as a scene, its tracks; return the names of what there is now.

    All frames come out, with their own times. H.264 with halved chroma has no odd sizes: an odd picture's last
    column or row stands there twice, and has no depth the second time.
    """
    timing = time_frames(source.info, source.index, Rate())
    files = [names.video]
    if source.depth is not None:
        _write_depth(source.depth, alteration, timing, Scene(folder / names.scene).merged_dir)
        files.append(str(Scene(Path(names.scene)).merged_dir))
    if source.tracks is not None:
        _write_tracks(source.tracks, alteration, folder / names.tracks)
        files.append(names.tracks)
    _write_video(source, alteration, timing, folder / names.video, crf)
    return files


def _write_video(source: Source, alteration: Alteration, timing: Timing, path: Path, crf: int) -> None:
    with ClipWriter(
        path,
        fps=timing.fps,
        time_base=timing.time_base,
        options={"crf": str(crf), "preset": _PRESET},
        # What x264 writes depends on its threads, and machines have different numbers of cores.
        threads=1,
        jpeg_colour=True,
        pixel_aspect=source.info.pixel_aspect,
    ) as writer:
        frames = read_frame_list(source.info, source.index, timing.indices.tolist())
        for place, frame in enumerate(frames):
            writer.write(alteration.picture(frame.rgb, place), timing.time_of(place))


def _write_depth(depth: Depth, alteration: Alteration, timing: Timing, folder: Path) -> None:
    record = depth.record
    width, height = (side + side % 2 for side in depth.size)
    missing = set(record.missing_frames)
    about = replace(
        record,
        frames=len(timing),
        width=width,
        height=height,
        settings={"frame_range": [0, len(timing)], **facts_in(record)},
        shots=[],
        missing_frames=[place for place, frame in enumerate(timing.indices.tolist()) if frame in missing],
        clipped=0,
        invalid_pixels=0,
        formats=["png16"],
        levels={},
        middle_codes=None,
        remarks=[],
        picture={},
    )
    write_depth_images(folder, _codes(depth, alteration, timing), about)


def _codes(depth: Depth, alteration: Alteration, timing: Timing) -> Iterator[Codes]:
    warp = alteration.warp
    if warp is not None and depth.size != warp.size:
        warp = warp.seen_at(depth.size)
    padding = [(0, side % 2) for side in reversed(depth.size)]
    for frame in timing.indices.tolist():
        codes = depth.codes(frame)
        yield np.pad(codes if warp is None else warp.codes(codes), padding, constant_values=INVALID_CODE)


def _write_tracks(tracks: Path, alteration: Alteration, output: Path) -> None:
    if alteration.warp is not None:
        write_warped_tracks(tracks, output, alteration.warp)
        return
    with atomic_path(output) as temporary, storage_errors(output):
        shutil.copyfile(tracks, temporary)
