"""One video scaled: frames stream from its source through its geometry into files of its own.

In: an opened ``Source`` and what is asked. Out: the files, each whole or absent, and the row that tells of them.
No more than one frame, or a chunk of them on their way through the autoencoder, is in memory. This file does not
know which videos there are, nor what happens when memory runs out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vda.files import write_json
from vda.fvc.depthclip import scaled_record, write_depth_images, write_depth_video
from vda.fvc.fallback import Rung
from vda.fvc.geometry import Geometry
from vda.fvc.pictures import scale_codes, scale_picture
from vda.fvc.rate import Timing, time_frames
from vda.fvc.request import Item, ScaleSettings
from vda.fvc.source import Depth, Source
from vda.fvc.trackmap import write_scaled_tracks
from vda.video import ClipWriter, Frame, read_frame_list, read_listed

Through = Callable[[Iterable[np.ndarray], int], Iterator[np.ndarray]]
"""RGB uint8 pictures, so many at once, to pictures of the same size: what an autoencoder makes of them."""

_PRESET: Final = "veryfast"


@dataclass
class Made:
    """``files`` are names in the output folder, ``columns`` what the joined table tells of this video."""

    columns: dict[str, Any]
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scaling:
    """One video on its way: ``geometry`` and ``timing`` are the same for its colour, depth and tracks."""

    item: Item
    source: Source
    settings: ScaleSettings
    geometry: Geometry
    timing: Timing
    threads: int | None = None

    @classmethod
    def of(cls, item: Item, source: Source, settings: ScaleSettings, threads: int | None = None) -> "Scaling":
        timing = time_frames(source.info, source.index, settings.rate)
        return cls(
            item, source, settings, settings.geometry(source.size, source.info.pixel_aspect), timing, threads
        )

    def write(self, folder: Path, rung: Rung, through: Through | None) -> Made:
        """Write what is asked for into ``folder``; raise what reading, memory or the disk raise."""
        made = Made(self._columns(rung), notes=[*self.source.notes, *self.timing.notes])
        if self.settings.wants_colour:
            self._write_colour(folder, made, rung, through if rung.method == "autoencoder" else None)
        if self.source.depth is not None:
            self._write_depth(folder, made, self.source.depth)
        if self.source.tracks is not None:
            name = self.item.tracks_name
            write_scaled_tracks(self.source.tracks, folder / name, self.geometry, self.timing)
            made.files.append(name)
            made.columns["tracks_path"] = name
        if self.timing.is_vfr:
            self._write_times(folder, made)
        return made

    def _columns(self, rung: Rung) -> dict[str, Any]:
        return {
            **self.item.columns,
            "original_width": self.source.size[0],
            "original_height": self.source.size[1],
            "width": self.geometry.canvas[0],
            "height": self.geometry.canvas[1],
            "frames": len(self.timing),
            "fps": round(self.timing.mean_fps, 6),
            "is_vfr": self.timing.is_vfr,
            "duration_seconds": round(self.timing.duration_s, 6),
            **{f"padding_{side}": pixels for side, pixels in self.geometry.padding.items()},
            "method": rung.method,
        }

    def _write_colour(self, folder: Path, made: Made, rung: Rung, through: Through | None) -> None:
        frames = self._colour_frames(made)
        pictures = through(frames, rung.chunk_size) if through else frames
        with ClipWriter(
            folder / self.item.name,
            fps=self.timing.fps,
            time_base=self.timing.time_base,
            options=self._h264(),
            # What x264 writes depends on its threads, and machines have different numbers of cores.
            threads=1,
            jpeg_colour=True,
        ) as writer:
            scaled = (scale_picture(self.geometry, picture) for picture in pictures)
            for place, picture in enumerate(self._repeated(scaled)):
                writer.write(picture, self.timing.time_of(place))
        made.files.append(self.item.name)
        made.columns["video_path"] = self.item.name

    def _h264(self) -> dict[str, str]:
        return {"crf": str(self.settings.crf), "preset": _PRESET, "g": str(self.settings.gop)}

    def _write_times(self, folder: Path, made: Made) -> None:
        name = self.item.times_name
        times = {"times_seconds": [round(time, 9) for time in self.timing.times_s.tolist()]}
        write_json(folder / name, {**times, "original_frames": self.timing.indices.tolist()})
        made.files.append(name)
        made.columns["times_path"] = name

    def _colour_frames(self, made: Made) -> Iterator[np.ndarray]:
        absent = 0
        for frame in self._frames():
            absent += not frame.decoded
            yield frame.rgb
        if absent:
            made.notes.append(f"{absent} frames have no picture of their own: the one before is shown.")

    def _frames(self) -> Iterator[Frame]:
        """Raises ``NotAsListed`` where the frames that were taken for granted do not come."""
        info, index = self.source.info, self.source.index
        wanted = np.unique(self.timing.indices).tolist()
        if not self.source.listed:
            return read_frame_list(info, index, wanted, threads=self.threads)
        whole = self.settings.rate.most is None
        return read_listed(info, index, wanted, whole=whole, threads=self.threads)

    def _repeated(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Each picture as often as its frame is shown."""
        _, counts = np.unique(self.timing.indices, return_counts=True)
        for picture, count in zip(pictures, counts.tolist(), strict=True):
            for _ in range(count):
                yield picture

    def _write_depth(self, folder: Path, made: Made, depth: Depth) -> None:
        geometry, form = self.geometry.seen_at(depth.size), self.settings.depth_format
        wanted = np.unique(self.timing.indices).tolist()
        codes = self._repeated(scale_codes(geometry, depth.codes(frame)) for frame in wanted)
        record = scaled_record(depth.record, self.geometry.canvas, self.timing, form)
        path = folder / self.item.depth_name
        if form == "mkv":
            written = write_depth_video(path, codes, self.timing, record)
        else:
            written = write_depth_images(path.with_suffix(""), codes, record)
        made.files += [str(file.relative_to(folder)) for file in written]
        made.columns["depth_path"] = path.name if form == "mkv" else path.stem
        made.columns.setdefault("video_path", made.columns["depth_path"])
