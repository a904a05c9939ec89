"""Whether a GPU computes what it should: stages of ``bench.gpu`` whose answer is yes or no."""

import importlib
import platform
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bench.gpucard import Card
from vda.compute.coding import window_codes
from vda.compute.engine import Engine
from vda.compute.ladder import MemoryFit, step_down
from vda.compute.precision import BEST_FIRST, WORDS, compare, dtype_of
from vda.compute.traffic import AtOnce
from vda.machine.shortage import is_out_of_memory
from vda.network.model import VideoDepthModel
from vda.network.ondevice import to_network_there
from vda.network.packing import WindowCodes
from vda.network.preprocess import to_network

_TESTS = Path(__file__).parents[1] / "tests"
# Float32 on a CPU is within 3e-5 of the stored values, which go up to 9; a GPU adds up in another order.
_PARITY, _PREPARED = 3e-4, 2e-5

Found = Iterator[tuple[str, Any]]


def machine(card: Card) -> Found:
    """What it is that is measured."""
    name, device = platform.processor() or platform.machine(), card.device
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        name = facts.name
        yield "capability", f"{facts.major}.{facts.minor}"
        yield "memory_bytes", facts.total_memory
        yield "free_bytes", torch.cuda.mem_get_info(device)[0]
    yield "name", name if device.type != "mps" else "mps"
    yield "torch", torch.__version__
    yield "cuda", torch.version.cuda
    yield "rocm", getattr(torch.version, "hip", None)
    yield "python", sys.version.split()[0]
    yield "opencv", cv2.__version__
    asked = ["git", "rev-parse", "HEAD"]
    told = card.tried(lambda: subprocess.run(asked, capture_output=True, text=True, cwd=_TESTS).stdout.strip())
    yield "commit", told


def parity(card: Card) -> Found:
    """The network in float32, its input and its codes, against values that are stored or a CPU's."""
    sys.path.insert(0, str(_TESTS))
    seeded = importlib.import_module("seeded")
    for name in ("vits",) if card.tiny else ("vits", "vitb", "vitl"):
        model = seeded.seeded_model(name).to(card.device)
        yield f"{name}, float32", card.tried(partial(_network, card, model, name, seeded))
    yield "input made on the device", _prepared(card)
    if card.device.type != "mps":
        yield "codes made on the device", _codes(card)


def _network(card: Card, model: VideoDepthModel, name: str, seeded: Any) -> dict[str, Any]:
    images, stored = seeded.seeded_images(7, 1, 32, 3, 70, 98)[0].to(card.device), seeded.REFERENCE
    every = (4, 16) if name == "vits" else (4, 64)
    with torch.inference_mode():
        maps = model.pretrained(images[:2])
        depth = model.decode(model.encode(images), micro_batch=4).cpu().numpy()
    taps = [tap.flatten(2).transpose(1, 2)[:, :: every[0], :: every[1]].cpu().numpy() for tap in maps]
    off = [_off(tap, stored[f"{name}_tap{index}"]) for index, tap in enumerate(taps)]
    window = _off(depth[stored[f"{name}_frames"], ::9, ::9], stored[f"{name}_window"])
    return {"encoder": max(off), "window": window, "holds": max(*off, window) <= _PARITY}


def _prepared(card: Card) -> dict[str, Any]:
    (width, height), size = card.picture, card.sizes[-1]
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    there = to_network_there(torch.from_numpy(rgb).to(card.device), *size)
    off = _off(there.cpu().numpy(), to_network(rgb, *size))
    return {"off": off, "holds": off <= _PREPARED}


def _codes(card: Card) -> dict[str, Any]:
    depth = np.random.default_rng(0).random((32, *card.sizes[-1][::-1])).astype(np.float32)
    here = window_codes(torch.from_numpy(depth.copy()))
    there = window_codes(torch.from_numpy(depth).to(card.device))
    return {"holds": all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))}


def _off(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(found - right).max())


def traffic(card: Card) -> Found:
    """Whether windows are the same bytes with copies in streams of their own as with everything at once."""
    model, size = card.model(card.models[0], card.half), card.sizes[0]
    at_once = card.engine(model)
    at_once.traffic = AtOnce(card.device)
    right = [answer.kept for answer in at_once.compute(card.slots(), card.source(size))]
    for number in range(1 if card.tiny else 3):
        found = (answer.kept for answer in card.engine(model).compute(card.slots(), card.source(size)))
        yield f"run {number}", {"holds": all(_same(a, b) for a, b in zip(found, right, strict=True))}


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, WindowCodes):
        return bool(np.array_equal(one, other))
    return np.array_equal(one.folded, other.folded) and (one.offset, one.step) == (other.offset, other.step)


def precision(card: Card) -> Found:
    """Each model's window in half precision against float32's: the proof that a run asks for."""
    for name in card.models:
        full, full_s = _window(card, name, torch.float32)
        yield f"{name}, float32", {"seconds": full_s}
        # A CPU computes float16 many times slower than float32.
        for half in BEST_FIRST[card.device.type == "cpu" : 2]:
            yield f"{name}, {WORDS[half]}", card.tried(partial(_figures, card, name, half, full, full_s))


def _figures(card: Card, name: str, half: Any, full: np.ndarray, full_s: float) -> dict[str, Any]:
    depth, seconds = _window(card, name, dtype_of(half))
    figures = compare(depth, full, seconds, full_s)
    return {
        "seconds": seconds,
        "mean": figures.mean_difference,
        "p99": figures.p99_difference,
        "problem": figures.problem() or "",
    }


def _window(card: Card, name: str, dtype: torch.dtype) -> tuple[np.ndarray, float]:
    """A window of noise and what its second time took."""
    model, images = card.model(name, dtype), card.images(32, card.sizes[-1])

    def work() -> torch.Tensor:
        parts = [model.encode(part) for part in images.split(card.encoder_batch)]
        features = type(parts[0])(*(torch.cat(maps) for maps in zip(*parts, strict=True)))
        return model.decode(features, micro_batch=4)

    seconds = card.seconds(work, times=1)
    with torch.inference_mode():
        return work().cpu().numpy(), seconds


def shortage(card: Card) -> Found:
    """Memory that runs out, and the way down the ladder: the same windows, on less and less of the card."""
    model, size = card.model(card.models[0], torch.float32), card.sizes[-1]
    slots, source = card.slots()[:1], card.source(size)
    (right,) = (answer.depth for answer in card.engine(model).compute(slots, source))
    for share in (1.5,) if card.tiny else (0.8, 0.5, 0.35, 0.25):
        yield f"{share:g} of what it takes", card.tried(partial(_squeezed, card, model, share, right))


def _squeezed(card: Card, model: VideoDepthModel, share: float, right: np.ndarray) -> dict[str, Any]:
    size, fit, steps = card.sizes[-1], MemoryFit(8, 32), []
    restore = _squeeze(card, model, share)
    try:
        while True:
            engine = card.engine(model, fit)
            try:
                (answer,) = engine.compute(card.slots()[:1], card.source(size))
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            engine.release()
            steps.append(f"{engine.part}: {fit}")
            lower = step_down(fit, engine.part)
            if lower is None:
                return {"steps": steps, "failed": "nothing left to step down"}
            fit = lower
    finally:
        restore()
    off = float(np.abs(answer.depth - right).max() / np.ptp(right))
    return {"fit": str(fit), "steps": steps, "off": off, "holds": bool(steps) and off < 1e-4}


def _squeeze(card: Card, model: VideoDepthModel, share: float) -> Any:
    """Let PyTorch have ``share`` of what the window takes at once; return how that is undone."""
    if card.device.type != "cuda":
        return _refusing(model)
    size, fit = card.sizes[-1], MemoryFit(8, 32)
    engine = Engine(model, card.device, fit, codes_there=True)
    weights = torch.cuda.memory_allocated(card.device)
    needed = weights + (card.peak(lambda: list(engine.compute(card.slots()[:1], card.source(size)))) or 0)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(card.device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, share * needed / total), card.device)
    return lambda: torch.cuda.set_per_process_memory_fraction(1.0, card.device)


def _refusing(model: VideoDepthModel) -> Any:
    """In the place of a card that is full: more than two frames at once are refused."""
    encode, decode = model.encode, model.decode

    def few(images: torch.Tensor) -> Any:
        return encode(images) if len(images) <= 2 else _refused()

    def fewer(features: Any, *, micro_batch: int = 32) -> Any:
        return decode(features, micro_batch=micro_batch) if micro_batch <= 2 else _refused()

    model.encode, model.decode = few, fewer  # type: ignore[method-assign]
    return lambda: model.__dict__.pop("encode") and model.__dict__.pop("decode")


def _refused() -> Any:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
