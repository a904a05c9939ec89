"""``ScaledVideos``: what ``vda fvc scale`` made, as a PyTorch ``Dataset`` of clips.

In: the scaled table, parts of it, and how clips are chosen. Out: tensors of one size a clip. It holds values only,
no open file, so it goes to worker processes however they are started; samplers of all kinds work on it, for it has
a length and is asked by index. This file does not know networks, nor how files are read.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from vda.errors import InputError, UsageError
from vda.fvc.clipchoice import ClipChoice
from vda.fvc.clipreading import read_boxes, read_codes, read_pictures, read_record, read_times
from vda.fvc.scaledtable import ScaledVideo, read_scaled

Depths = Literal["metres", "values", "codes"]
_SHOWN = 5


class ScaledVideos(Dataset[dict[str, Any]]):
    """Clips of the videos in ``table``: ``scaled_metadata.csv``, its folder, or what ``vda fvc folds`` made of it.

    ``folds`` is a file of folds or splits that are not in the table; ``only`` and ``without`` name parts of them,
    so that ``without=[0]`` and ``only=[0]`` are the training and the held-out videos of fold 0. ``rgb``, ``depth``
    and ``tracks`` say what a clip has. ``labels`` are the labels by number, over the whole table.

    An item is a dict, T frames of H x W:

    - ``video`` uint8 [T, 3, H, W], RGB; with ``as_float`` float32 from 0 to 1
    - ``depth``: ``"metres"`` float32 [T, H, W], refused where depth is not metric; ``"values"`` the same in its
      own unit (inverse depth of the relative models); ``"codes"`` int32, for they are 16 bits without a sign.
      Invalid pixels are NaN, or code 0; ``depth_valid`` bool [T, H, W] says where there is depth
    - ``tracks``: a dict of ``place`` int64 [m] (in the clip), ``track`` int64 [m], ``box`` float32 [m, 4]
      (x1, y1, x2, y2 in pixels); as m differs, batches need ``collate_clips``
    - ``label`` int, ``index`` int (the item's)
    - ``places`` int64 [T], frames of the video, and ``times_s`` float32 [T], when they are shown
    - ``is_real`` bool [T], False where the video was too short and its last frame stands again

    Raises ``InputError`` and ``UsageError`` at once for what the tables tell; videos are opened when asked for.
    """

    def __init__(
        self,
        table: Path | str,
        clip: ClipChoice | None = None,
        *,
        folds: Path | str | None = None,
        only: Collection[int | str] = (),
        without: Collection[int | str] = (),
        rgb: bool = True,
        as_float: bool = False,
        depth: Depths | None = None,
        tracks: bool = False,
    ) -> None:
        read = read_scaled(Path(table), None if folds is None else Path(folds))
        self.videos = read.chosen(only, without)
        self.labels, self.parts = read.labels, read.parts
        self.clip = clip or ClipChoice()
        self._rgb, self._as_float, self._depth, self._tracks = rgb, as_float, depth, tracks
        # In shared memory, so that workers that outlive an epoch learn of the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._check()

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose other random clips, the same in every process; call it before each epoch, as with samplers."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self.videos))[index]
        video = self.videos[index]
        times_s = read_times(video)
        places, is_real = self.clip.places(times_s, self.epoch, index)
        item: dict[str, Any] = {
            "label": video.label_index,
            "index": index,
            "places": torch.from_numpy(places),
            "times_s": torch.from_numpy(times_s[places].astype(np.float32)),
            "is_real": torch.from_numpy(is_real),
        }
        if self._rgb:
            item["video"] = self._pictures(video, places)
        if self._depth is not None:
            item |= self._depths(video, places)
        if self._tracks:
            item["tracks"] = {name: torch.from_numpy(of) for name, of in read_boxes(video, places).items()}
        return item

    def _pictures(self, video: ScaledVideo, places: np.ndarray) -> torch.Tensor:
        pictures = torch.from_numpy(read_pictures(video, places)).permute(0, 3, 1, 2).contiguous()
        return pictures.float().div_(255) if self._as_float else pictures

    def _depths(self, video: ScaledVideo, places: np.ndarray) -> dict[str, torch.Tensor]:
        codes = read_codes(video, places)
        valid = torch.from_numpy(codes != 0)
        if self._depth == "codes":
            return {"depth": torch.from_numpy(codes.astype(np.int32)), "depth_valid": valid}
        return {"depth": torch.from_numpy(read_record(video).quantizer.decode(codes)), "depth_valid": valid}

    def _check(self) -> None:
        """Refuse at the start what would end a training in its middle."""
        if self._depth not in (None, "metres", "values", "codes"):
            raise UsageError(f"Depth comes in no {self._depth}.", "Ask for metres, values or codes.")
        if self._rgb:
            self._require("pictures", [video.name for video in self.videos if video.video is None])
            self._require_one_size()
        if self._depth is not None:
            self._require("depth", [video.name for video in self.videos if video.depth is None])
        self._require_files()
        if self._depth == "codes":
            self._require_one_coding()
        if self._depth == "metres":
            units = {video.name: read_record(video).quantizer.unit for video in self.videos}
            self._require("depth in metres", [name for name, unit in units.items() if unit != "metre"])

    def _require_files(self) -> None:
        """Folders are listed, for asking for one file after another takes minutes on a network."""
        asked = [
            path
            for video in self.videos
            for path in (
                video.video if self._rgb else None,
                video.depth if self._depth else None,
                video.tracks if self._tracks else None,
                video.times,
            )
            if path is not None
        ]
        there = {folder: _names_in(folder) for folder in {path.parent for path in asked}}
        if gone := [str(path) for path in asked if path.name not in there[path.parent]]:
            raise InputError(
                f"{len(gone)} files that the table names are not there, such as {', '.join(gone[:_SHOWN])}.",
                "Run the same vda fvc scale again, which makes them anew, or give the table in its own folder.",
            )

    def _require(self, what: str, lacking: Sequence[str]) -> None:
        if lacking:
            shown = ", ".join(lacking[:_SHOWN])
            raise InputError(
                f"{len(lacking)} of {len(self.videos)} videos have no {what}, such as {shown}.",
                "Scale them so that they have, ask for something else, or leave them out of the table.",
            )

    def _require_one_coding(self) -> None:
        """Codes of two codings are numbers of two kinds, and nothing in a batch would tell them apart."""
        codings = sorted({read_record(video).quantizer.coding for video in self.videos})
        if len(codings) > 1:
            raise InputError(
                f"The depth of the videos is in {' and '.join(codings)} codes, which do not mean the same.",
                "Ask for values or metres, or merge all scenes with one --coding and scale them again.",
            )

    def _require_one_size(self) -> None:
        sizes = {(video.columns.get("width"), video.columns.get("height")) for video in self.videos}
        if len(sizes) > 1:
            shown = ", ".join(f"{width}x{height}" for width, height in sorted(map(_texts, sizes))[:_SHOWN])
            raise InputError(
                f"The videos have {len(sizes)} sizes ({shown}), and a batch has one.",
                "Scale them with --method letterbox.",
            )


def _names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _texts(size: tuple[Any, Any]) -> tuple[str, str]:
    return str(size[0]), str(size[1])


def collate_clips(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Items to a batch: all is stacked but ``tracks``, which stay a list, for each clip has its own number."""
    stacked = [{name: value for name, value in item.items() if name != "tracks"} for item in items]
    batch: dict[str, Any] = default_collate(stacked)
    if items and "tracks" in items[0]:
        batch["tracks"] = [item["tracks"] for item in items]
    return batch
