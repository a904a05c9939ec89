"""Frames in, raw windows out: the network run over any windows of a video, in any order.

What a frame alone decides (encoder, projections, the high-resolution branch) is computed once and kept while a
window still needs it. Frames are decoded and resized ahead in a thread, so that the device does not wait.
Micro-batches have one fixed shape, and a frame's place in its micro-batch is its index modulo the size: what a
frame gets does not depend on which other frames were asked for. Memory does not depend on the video's length.

This file does not know where frames come from, where windows go, or what a scene is.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from vda.compute.coding import DeviceCodes, window_codes
from vda.compute.footprint import footprint
from vda.compute.ladder import MemoryFit, Part, first_fit
from vda.compute.traffic import Arriving, Traffic, traffic_of
from vda.network.model import FrameFeatures, VideoDepthModel
from vda.network.ondevice import to_network_there
from vda.network.packing import SlotEnds, WindowCodes, slot_ends

# Evens out what takes long at key frames; 92 MB at 924x518.
_DECODE_AHEAD = 16
# Of bytes as decoded, pinned where there is a GPU, 16 frames of 4K would be 400 MB.
_AHEAD_BYTES = 128 << 20
# One is taken while the next is put there, of any size.
_LEAST_AHEAD = 2


@dataclass(frozen=True)
class Picture:
    """One frame: float32 ``[3, h, w]`` ready for the network, or RGB in bytes ``[height, width, 3]``.

    The device brings bytes to the network's ``size`` (width, height). ``decoded`` is False for a stand-in.
    """

    index: int
    pixels: np.ndarray | Tensor
    decoded: bool
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class WindowDepth:
    """The network's answer for one window ``[32, h, w]``: float32 or codes, and the slots that had no picture."""

    kept: np.ndarray | WindowCodes
    missing: tuple[int, ...]

    @property
    def depth(self) -> np.ndarray:
        return self.kept.depth() if isinstance(self.kept, WindowCodes) else self.kept

    @cached_property
    def ends(self) -> SlotEnds | None:
        """The least and the largest value of each slot; None where codes tell them."""
        return None if isinstance(self.kept, WindowCodes) else slot_ends(self.kept)


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

    With ``codes_there`` windows come as the codes that their files hold, made on the device. ``part`` is what it
    is or was at last: where memory ran out, if it did.
    """

    model: VideoDepthModel
    device: torch.device
    fit: MemoryFit = field(default_factory=lambda: MemoryFit(1))
    progress: Counters = field(default_factory=Counters)
    codes_there: bool = False
    part: Part = field(default="encoder", init=False)
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = traffic_of(self.device)

    def compute(
        self, windows: Sequence[tuple[int, ...]], source: FrameSource
    ) -> Generator[WindowDepth, None, None]:
        """Yield the depth of each of ``windows`` (32 frame indices each), in the order given.

        ``source`` is called once with the distinct frames in the order of their first use and yields them so.
        """
        order, last_use = _first_and_last_use(windows)
        kept: dict[int, FrameFeatures] = {}
        missing: set[int] = set()
        coming: deque[tuple[Arriving, tuple[int, ...]]] = deque()
        with closing(_ahead(map(self._ready, source(order)), self.progress)) as pictures:
            encoded = self._encoded(pictures, missing)
            for number, window in enumerate(windows):
                while not all(index in kept for index in window):
                    kept.update(next(encoded))
                slots = tuple(slot for slot, index in enumerate(window) if index in missing)
                coming.append((self._decode([kept[index] for index in window]), slots))
                for index in [index for index in kept if last_use[index] <= number]:
                    del kept[index]
                while len(coming) > self.traffic.late:
                    yield self._arrived(*coming.popleft())
            while coming:
                yield self._arrived(*coming.popleft())

    def _ready(self, picture: Picture) -> Picture:
        """Bytes where a device copies them from by itself: done by the thread that draws ahead."""
        if picture.size is None:
            return picture
        pixels = torch.from_numpy(np.require(picture.pixels, requirements=["C", "W"]))
        return replace(picture, pixels=self.traffic.ready(pixels))

    def _decode(self, slots: list[FrameFeatures]) -> Arriving:
        self.part = "features"
        features = FrameFeatures(*(torch.cat(maps) for maps in zip(*slots, strict=True)))
        self.part = "head"
        with torch.inference_mode():
            depth = self.model.decode(features, micro_batch=self.fit.head_batch).float()
            self.part = "features"
            result = window_codes(depth) if self.codes_there else (depth,)
        self.progress.batches_done += 1
        return self.traffic.fetch(result)

    def _arrived(self, coming: Arriving, missing: tuple[int, ...]) -> WindowDepth:
        result = coming.arrived()
        self.progress.windows_done += 1
        kept = DeviceCodes(*result).on_host() if self.codes_there else result[0].numpy()
        return WindowDepth(kept, missing)

    def _encoded(self, pictures: Iterator[Picture], missing: set[int]) -> Iterator[dict[int, FrameFeatures]]:
        """Encode consecutive pictures of the same block of ``fit.encoder_batch`` indices together."""
        for _, group in groupby(pictures, key=lambda picture: picture.index // self.fit.encoder_batch):
            block = list(group)
            missing.update(picture.index for picture in block if not picture.decoded)
            yield self._encode_block(block)

    def _encode_block(self, block: list[Picture]) -> dict[int, FrameFeatures]:
        size = self.fit.encoder_batch
        self.part = "encoder"
        with torch.inference_mode():
            features = self.model.encode(self._images(block))
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

    def _images(self, block: list[Picture]) -> Tensor:
        """The frames of ``block`` on the device, each at its place; what has no frame is 0.

        Always of one shape: the same frame then gets the same bits, whichever frames are beside it.
        """
        size = self.fit.encoder_batch
        if block[0].size is None:
            pixels = [torch.as_tensor(picture.pixels) for picture in block]
            if size == 1:
                # Nothing to gather: no copy, where the device is the host.
                return pixels[0][None].to(self.device)
            batch = torch.zeros(size, *pixels[0].shape)
            for picture, image in zip(block, pixels, strict=True):
                batch[picture.index % size] = image
            return batch.to(self.device)
        width, height = block[0].size
        sent = self.traffic.send([torch.as_tensor(picture.pixels) for picture in block])
        images = torch.zeros(size, 3, height, width, device=self.device)
        for picture, rgb in zip(block, sent.arrived(), strict=True):
            images[picture.index % size] = to_network_there(rgb, width, height)
        return images

    def release(self) -> None:
        """Give memory that PyTorch holds in reserve back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def fit_from_the_start(self, batch_size: int, net_width: int, net_height: int) -> MemoryFit:
        """How to use memory before anything ran out: ``ladder.first_fit`` by what the device has free."""
        if self.device.type == "cpu":
            return first_fit(batch_size, None, None)
        free_bytes = _free_bytes(self.device)
        return first_fit(batch_size, free_bytes, footprint(self.model, net_width, net_height))


def _free_bytes(device: torch.device) -> int:
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return int(torch.cuda.mem_get_info(device)[0])


def _first_and_last_use(windows: Sequence[tuple[int, ...]]) -> tuple[list[int], dict[int, int]]:
    """Distinct frames in the order of their first use, and for each the last window that needs it."""
    last_use: dict[int, int] = {}
    for number, window in enumerate(windows):
        for index in window:
            last_use[index] = number
    return list(last_use), last_use


def _ahead(pictures: Iterable[Picture], progress: Counters) -> Generator[Picture, None, None]:
    """Yield ``pictures`` while a thread draws the next few; its errors surface here, and it ends with us."""
    waiting: queue.SimpleQueue[Picture | BaseException | None] = queue.SimpleQueue()
    # Places for pictures that wait; how many there are, the first one tells.
    places, stopped = threading.Semaphore(0), threading.Event()

    def draw() -> None:
        try:
            for number, picture in enumerate(pictures):
                progress.frames_decoded += 1
                if not number:
                    places.release(_places_for(picture))
                places.acquire()
                if stopped.is_set():
                    return
                waiting.put(picture)
            waiting.put(None)
        except BaseException as error:
            # Raised here it would only end the thread; whoever draws the next picture is to meet it.
            waiting.put(error)

    thread = threading.Thread(target=draw, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            places.release()
            yield item
    finally:
        stopped.set()
        # Nobody draws any more: a thread that waited for a place for ever would outlive its engine.
        places.release()
        thread.join()


def _places_for(picture: Picture) -> int:
    """How many pictures of this one's size may wait."""
    return min(_DECODE_AHEAD, max(_LEAST_AHEAD, _AHEAD_BYTES // max(1, picture.pixels.nbytes)))
