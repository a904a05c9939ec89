"""Frames in, raw windows out: the network run over any windows of a video, in any order.

What a frame alone decides (encoder, projections, the high-resolution branch) is computed once and kept while a
window still needs it. Frames are decoded and resized ahead in a thread, so that the device does not wait.
Micro-batches have one fixed shape, and a frame's place in its micro-batch is its index modulo the size: what a
frame gets does not depend on which other frames were asked for. Memory does not depend on the video's length.

This file does not know where frames come from, where windows go, or what a scene is.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch

from vda.compute.footprint import footprint
from vda.compute.ladder import MemoryFit, Part, first_fit
from vda.network.model import FrameFeatures, VideoDepthModel

# Evens out what takes long at key frames; 92 MB at 924x518.
_DECODE_AHEAD = 16


@dataclass(frozen=True)
class Picture:
    """One frame, ready for the network: ``pixels`` float32 ``[3, h, w]``; ``decoded`` False for a stand-in."""

    index: int
    pixels: np.ndarray
    decoded: bool


@dataclass(frozen=True)
class WindowDepth:
    """The network's answer for one window: float32 ``[32, h, w]`` and the slots that had no picture."""

    depth: np.ndarray
    missing: tuple[int, ...]


@dataclass
class Counters:
    """Counters that only grow; another thread may read them at any time."""

    frames_decoded: int = 0
    batches_done: int = 0
    windows_done: int = 0


FrameSource = Callable[[Sequence[int]], Iterator[Picture]]


@dataclass
class Engine:
    """``model`` on ``device``, using memory as ``fit`` says, which may be changed between two calls.

    ``part`` is what it is or was at last: where memory ran out, if it did.
    """

    model: VideoDepthModel
    device: torch.device
    fit: MemoryFit = field(default_factory=lambda: MemoryFit(1))
    progress: Counters = field(default_factory=Counters)
    part: Part = field(default="encoder", init=False)

    def compute(
        self, windows: Sequence[tuple[int, ...]], source: FrameSource
    ) -> Generator[WindowDepth, None, None]:
        """Yield the depth of each of ``windows`` (32 frame indices each), in the order given.

        ``source`` is called once with the distinct frames in the order of their first use and yields them so.
        """
        order, last_use = _first_and_last_use(windows)
        kept: dict[int, FrameFeatures] = {}
        missing: set[int] = set()
        with closing(_ahead(source(order), self.progress)) as pictures:
            encoded = self._encoded(pictures, missing)
            for number, window in enumerate(windows):
                while not all(index in kept for index in window):
                    kept.update(next(encoded))
                depth = self._decode([kept[index] for index in window])
                self.progress.windows_done += 1
                yield WindowDepth(depth, tuple(slot for slot, index in enumerate(window) if index in missing))
                for index in [index for index in kept if last_use[index] <= number]:
                    del kept[index]

    def _decode(self, slots: list[FrameFeatures]) -> np.ndarray:
        self.part = "features"
        features = FrameFeatures(*(torch.cat(maps) for maps in zip(*slots, strict=True)))
        self.part = "head"
        with torch.inference_mode():
            depth = self.model.decode(features, micro_batch=self.fit.head_batch)
        self.progress.batches_done += 1
        return depth.float().cpu().numpy()

    def _encoded(self, pictures: Iterator[Picture], missing: set[int]) -> Iterator[dict[int, FrameFeatures]]:
        """Encode consecutive pictures of the same block of ``fit.encoder_batch`` indices together."""
        for _, group in groupby(pictures, key=lambda picture: picture.index // self.fit.encoder_batch):
            block = list(group)
            missing.update(picture.index for picture in block if not picture.decoded)
            yield self._encode_block(block)

    def _encode_block(self, block: list[Picture]) -> dict[int, FrameFeatures]:
        size = self.fit.encoder_batch
        # Always of one shape: the same frame then gets the same bits, whichever frames are beside it.
        batch = np.zeros((size, *block[0].pixels.shape), np.float32)
        for picture in block:
            batch[picture.index % size] = picture.pixels
        self.part = "encoder"
        with torch.inference_mode():
            features = self.model.encode(torch.from_numpy(batch).to(self.device))
        self.progress.batches_done += 1
        self.part = "features"
        if self.fit.features_on_host:
            features = FrameFeatures(*(maps.cpu() for maps in features))
        places = {picture.index: picture.index % size for picture in block}
        # A copy, so that one kept frame does not hold the whole micro-batch.
        return {
            index: FrameFeatures(*(maps[place : place + 1].clone() for maps in features))
            for index, place in places.items()
        }

    def release(self) -> None:
        """Give memory that PyTorch holds in reserve back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def fit_from_the_start(self, batch_size: int, net_width: int, net_height: int) -> MemoryFit:
        """How to use memory before anything ran out: ``ladder.first_fit`` by what the device has free."""
        if self.device.type != "cuda":
            return first_fit(batch_size, None, None)
        free_bytes, _ = torch.cuda.mem_get_info(self.device)
        return first_fit(batch_size, free_bytes, footprint(self.model, net_width, net_height))


def _first_and_last_use(windows: Sequence[tuple[int, ...]]) -> tuple[list[int], dict[int, int]]:
    """Distinct frames in the order of their first use, and for each the last window that needs it."""
    last_use: dict[int, int] = {}
    for number, window in enumerate(windows):
        for index in window:
            last_use[index] = number
    return list(last_use), last_use


def _ahead(pictures: Iterable[Picture], progress: Counters) -> Generator[Picture, None, None]:
    """Yield ``pictures`` while a thread draws the next few; its errors surface here, and it ends with us."""
    waiting: queue.Queue[Picture | BaseException | None] = queue.Queue(_DECODE_AHEAD)
    stopped = threading.Event()

    def put(item: Picture | BaseException | None) -> None:
        # Nobody may be drawing any more: a thread that waited for room for ever would outlive its engine.
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def draw() -> None:
        try:
            for picture in pictures:
                progress.frames_decoded += 1
                put(picture)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            # Raised here it would only end the thread; whoever draws the next picture is to meet it.
            put(error)

    thread = threading.Thread(target=draw, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
