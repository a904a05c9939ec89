"""How fast a GPU is and what it takes: stages of ``bench.gpu`` that answer in milliseconds, bytes and shares."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench import baseline
from bench.gpucard import Card
from vda.compute.engine import FrameSource, Picture
from vda.compute.footprint import footprint
from vda.compute.ladder import first_fit
from vda.network.model import FrameFeatures, VideoDepthModel
from vda.network.slots import WINDOW_SLOTS
from vda.scene.windows import WINDOW_STEP

# What an H100 or H200 is to do at 518x924 in half precision, against the straightforward way in the same run.
_TIMES, _WAITING = 1.8, 0.05
_GIB = {"vits": 2, "vitl": 6}

Found = Iterator[tuple[str, Any]]
Encode = Callable[[Tensor], FrameFeatures]
Decode = Callable[[FrameFeatures], Tensor]


@dataclass(frozen=True)
class _Way:
    """One way of computing the same, with what it is given."""

    encode: Encode
    decode: Decode
    images: Tensor
    features: FrameFeatures


def speed(card: Card) -> Found:
    """Milliseconds per frame and stage, against the straightforward way, and the share of the card's peak."""
    product = _product(card)
    yield "matrix product", {"tflops": product / 1e12}
    for name in card.models:
        plain = card.tried(partial(_straightforward, card, name))
        yield f"{name}, straightforward", plain
        model = card.model(name, card.half)
        way = _eager(card, model)
        with torch.inference_mode():
            flops = [_flops(partial(way.encode, way.images[:1])), _flops(partial(way.decode, way.features))]
        yield f"{name}, arithmetic", {"gflop_per_frame": flops[0] / 1e9, "gflop_per_window": flops[1] / 1e9}
        work = flops[0] + flops[1] / WINDOW_STEP
        for words, other in (("eager", _eager), ("channels last", _channels_last), ("CUDA graphs", _graphs)):
            if other is not _graphs or card.device.type == "cuda":
                yield f"{name}, {words}", card.tried(partial(_timed, card, model, other, plain, work / product))
        del way, model
        yield f"{name}, whole", card.tried(partial(_whole, card, name))


def compiled(card: Card) -> Found:
    """The same after torch.compile, which takes minutes: the last stage, for it may not end in time."""
    if card.tiny:
        yield "left out", "it would take longer than all else"
        return
    for name in card.models:
        yield name, card.tried(partial(_timed, card, card.model(name, card.half), _compiled, None, 0.0))


def _product(card: Card) -> float:
    """Floating-point operations a second of a matrix product in half precision: as much as the card gives."""
    side = 128 if card.tiny else 8192
    left, right = (torch.randn(side, side).to(card.device, card.half) for _ in range(2))
    return 2 * side**3 / card.seconds(lambda: left @ right)


def _flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counted:
        work()
    return counted.get_total_flops()


def _straightforward(card: Card, name: str) -> dict[str, Any]:
    """All frames of a window at once in autocast, fused attention; and with attention written out."""
    model, images = card.model(name, torch.float32), card.images(WINDOW_SLOTS, card.sizes[-1])

    def work() -> Tensor:
        with torch.autocast(card.device.type, card.half):
            return baseline.baseline_window(model, images)

    with patch.object(baseline, "_attention", _fused):
        seconds, peak = card.seconds(work, times=3), card.peak(work)
    found = {"ms_per_frame": 1e3 * seconds / WINDOW_STEP, "peak_bytes": peak}
    written_out = card.tried(lambda: 1e3 * card.seconds(work, times=1) / WINDOW_STEP)
    return {**found, "ms_attention_written_out": written_out}


def _fused(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def _eager(card: Card, model: VideoDepthModel) -> _Way:
    images = card.images(card.encoder_batch, card.sizes[-1])
    with torch.inference_mode():
        one = model.encode(images[:1])
        features = FrameFeatures(*(maps.repeat(WINDOW_SLOTS, 1, 1, 1) for maps in one))
    return _Way(model.encode, partial(model.decode, micro_batch=card.fit.head_batch), images, features)


def _channels_last(card: Card, model: VideoDepthModel) -> _Way:
    # In place: what comes after it is measured with it, too; graphs are captured of what stands then.
    _lay_out(model, torch.channels_last)
    way = _eager(card, model)
    images = way.images.contiguous(memory_format=torch.channels_last)
    features = FrameFeatures(*(maps.contiguous(memory_format=torch.channels_last) for maps in way.features))
    return _Way(way.encode, way.decode, images, features)


def _graphs(card: Card, model: VideoDepthModel) -> _Way:
    _lay_out(model, torch.contiguous_format)
    way = _eager(card, model)
    encode, decode = _captured(way.encode, way.images), _captured(way.decode, way.features)
    return _Way(lambda images: encode(), lambda features: decode(), way.images, way.features)


def _lay_out(model: VideoDepthModel, layout: torch.memory_format) -> None:
    for tensor in model.parameters():
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=layout)


def _captured(work: Callable[[Any], Any], given: Any) -> Callable[[], Any]:
    """``work`` of ``given``, recorded once: what is replayed reads the same memory."""
    with torch.inference_mode():
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            work(given)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = work(given)

    def replay() -> Any:
        graph.replay()
        return result

    return replay


def _compiled(card: Card, model: VideoDepthModel) -> _Way:
    way = _eager(card, model)
    return _Way(torch.compile(way.encode), torch.compile(way.decode), way.images, way.features)


def _timed(
    card: Card, model: VideoDepthModel, make: Callable[..., _Way], plain: Any, least_s: float
) -> dict[str, Any]:
    """``least_s``: what a frame would take at the speed of a matrix product (0: not known)."""
    way = make(card, model)
    encode = card.seconds(partial(way.encode, way.images)) / len(way.images)
    decode = card.seconds(partial(way.decode, way.features))
    frame = encode + decode / WINDOW_STEP
    found: dict[str, Any] = {"ms_per_frame": 1e3 * frame, "ms_encode": 1e3 * encode}
    found["ms_per_slot"] = 1e3 * decode / WINDOW_SLOTS
    if least_s:
        found["share_of_peak"] = least_s / frame
    if plain and "ms_per_frame" in plain:
        found["times_straightforward"] = plain["ms_per_frame"] / found["ms_per_frame"]
        if not card.tiny:
            found["wanted_times"] = _TIMES
    return found


def _whole(card: Card, name: str) -> dict[str, Any]:
    """The engine with frames that are there in bytes: what a run's windows take, and the most memory."""
    model, size = card.model(name, card.half), card.sizes[-1]
    weights = sum(tensor.nbytes for tensor in model.parameters())
    peak = card.peak(partial(_windows, card, model, card.source(size)))
    seconds = card.seconds(partial(_windows, card, model, card.source(size)), times=1)
    found: dict[str, Any] = {"ms_per_frame": 1e3 * seconds / card.frames, "weights_bytes": weights}
    if peak is not None:
        found.update(peak_bytes=peak + weights, holds=peak + weights <= _GIB[name] << 30)
    return found


def _windows(card: Card, model: VideoDepthModel, source: FrameSource) -> None:
    for _ in card.engine(model).compute(card.slots(), source):
        pass


def memory(card: Card) -> Found:
    """What each rung of the ladder takes at its most, against what the model of memory says beforehand."""
    over = 0.0
    for name in card.models:
        for size in card.sizes:
            for dtype in (card.half, torch.float32):
                rungs = card.tried(partial(_rungs, card, name, size, dtype))
                yield f"{name}, {size[0]}x{size[1]}, {str(dtype).removeprefix('torch.')}", rungs
                both = [each for each in rungs.values() if isinstance(each, dict) and each.get("bytes")]
                over = max([over, *(each["bytes"] / each["foretold"] for each in both)])
    if card.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(card.device)
        yield "beside tensors", {"bytes": total - free - torch.cuda.memory_reserved(card.device)}
    if over:
        yield "ladder._SHARE at most", round(1 / over, 3)


def _rungs(card: Card, name: str, size: tuple[int, int], dtype: torch.dtype) -> dict[str, Any]:
    model = card.model(name, dtype)
    needs = footprint(model, *size)
    found: dict[str, Any] = {"features": needs.features, "fit_for_6_gb": str(first_fit(0, 6 << 30, needs))}

    def encode(batch: int) -> FrameFeatures:
        return model.encode(card.images(batch, size))

    with torch.inference_mode():
        features = FrameFeatures(*(maps.repeat(WINDOW_SLOTS, 1, 1, 1) for maps in encode(1)))
    for batch in (1, 8):
        measured = card.tried(partial(card.peak, partial(encode, batch)))
        found[f"encoder {batch}"] = _held_against(measured, needs.encoder.at(batch))
    for batch in (1, 4, 8, 32):
        measured = card.tried(partial(card.peak, partial(model.decode, features, micro_batch=batch)))
        found[f"head {batch}"] = _held_against(measured, needs.head.at(batch))
    return found


def _held_against(measured: Any, foretold: int) -> dict[str, Any]:
    """What does not fit on a small card is no failure."""
    if isinstance(measured, dict):
        return {"bytes": None, "foretold": foretold, "why": measured["failed"]}
    return {"bytes": measured, "foretold": foretold}


def overlap(card: Card) -> Found:
    """The share of its time that the device waits: for frames that are there, and for those of a film."""
    model, size = card.model(card.models[0], card.half), card.sizes[-1]
    way = _eager(card, model)
    # A micro-batch has its size even where the film ends in it.
    blocks = -(-card.frames // card.encoder_batch)
    busy = blocks * card.seconds(partial(way.encode, way.images)) + card.windows * card.seconds(
        partial(way.decode, way.features)
    )
    yield "busy", {"seconds": busy}
    yield "frames in memory", _waiting(card, model, busy, card.source(size), bound=not card.tiny)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "film.mp4"
        written = card.tried(partial(_film, card, path))
        if written is not None:
            yield "frames of a film", f"left out: {written['failed']}"
        else:
            yield "frames of a film", _waiting(card, model, busy, partial(_decoded, path, size), bound=False)
            there = partial(_decoded, path, size, hardware="cuda")
            yield (
                "frames of a film, decoded by the card",
                card.tried(partial(_as_by_cpu, path, size)) or _waiting(card, model, busy, there, bound=False),
            )


def _waiting(card: Card, model: VideoDepthModel, busy: float, source: FrameSource, bound: bool) -> dict[str, Any]:
    seconds = card.seconds(partial(_windows, card, model, source), times=2)
    share = max(0.0, 1 - busy / seconds)
    found = {"seconds": seconds, "waiting": share, "frames_per_second": card.frames / seconds}
    return {**found, "holds": share <= _WAITING} if bound else found


def _film(card: Card, path: Path) -> None:
    """Write a film of moving shapes with PyAV, if it is there."""
    import av

    width, height = card.picture
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("mpeg4", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 8_000_000
        for index in range(card.frames):
            rgb = np.stack([(x + 3 * index) % 256, (y + 2 * index) % 256, (x + y) % 256], -1).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        file.mux(stream.encode(None))


def _as_by_cpu(path: Path, size: tuple[int, int]) -> None:
    """Raise ``ValueError`` where the card's decoder gives another picture than the CPU's."""
    for ours, theirs in zip(*(_decoded(path, size, range(8), by) for by in (None, "cuda")), strict=True):
        if not np.array_equal(ours.pixels, theirs.pixels):
            raise ValueError(f"picture {ours.index} is another than the CPU's")


def _decoded(
    path: Path, size: tuple[int, int], order: Sequence[int], hardware: str | None = None
) -> Iterator[Picture]:
    import av
    from av.codec.hwaccel import HWAccel

    with av.open(str(path), hwaccel=HWAccel(hardware, flags=1) if hardware else None) as file:
        file.streams.video[0].thread_type = "AUTO" if hardware is None else "NONE"
        for index, frame in zip(order, file.decode(video=0), strict=False):
            yield Picture(index, frame.to_ndarray(format="rgb24"), True, size)


def two_workers(card: Card) -> Found:
    """Two processes on the card against one: whether it gains from more than one."""
    one = max(_beside(card, 1))
    yield "one", {"seconds": one}
    two = max(_beside(card, 2))
    yield "two", {"seconds": two, "times_as_fast": 2 * one / two}


def _beside(card: Card, count: int) -> list[float]:
    """Seconds that each of ``count`` processes takes for the same windows, all begun at once."""
    windows = 1 if card.tiny else 2 * card.windows
    command = [sys.executable, "-m", "bench.gpu", "--device", str(card.device), "--worker", str(windows)]
    running = [
        subprocess.Popen(
            command + ["--tiny"] * card.tiny,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for _ in range(count)
    ]
    try:
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [float(process.communicate()[0]) for process in running]
    finally:
        for process in running:
            process.kill()


def work_beside(device: str, tiny: bool, windows: int) -> None:
    """Be one of some processes on a card: get ready, wait for the word, compute, say how long it took."""
    card = Card.named(device, tiny)
    model, source = card.model(card.models[0], card.half), card.source(card.sizes[-1])
    list(card.engine(model).compute(card.slots()[:1], source))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for _ in range(windows):
        list(card.engine(model).compute(card.slots()[:1], source))
    print(time.perf_counter() - began, flush=True)
