"""What a device does of the host's work: held against the host's own, with the CPU in the device's place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import REFERENCE, pattern_frame, slow_frame, spread_depth
from torch import Tensor

from vda.compute.coding import window_codes
from vda.compute.engine import Engine, Picture
from vda.compute.ladder import MemoryFit
from vda.compute.precision import check_window
from vda.compute.traffic import AtOnce
from vda.network import VideoDepthModel, build_model, net_size, to_network
from vda.network.ondevice import to_network_there
from vda.network.packing import WindowCodes, packed
from vda.scene.rawwindows import write_raw_window
from vda.scene.windows import sequence_windows

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("picture", "net"),
    [
        ((1080, 1920), (518, 924)),
        ((270, 480), (518, 924)),
        ((518, 924), (518, 924)),
        ((61, 1000), (28, 448)),
        ((1, 1), (14, 28)),
    ],
)
def test_a_frame_prepared_on_the_device_is_the_host_s(picture: tuple[int, int], net: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*picture, 3), np.uint8)
    there = to_network_there(torch.from_numpy(rgb), net[1], net[0])
    assert there.dtype == torch.float32
    np.testing.assert_allclose(there, to_network(rgb, net[1], net[0]), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "width", "height", "input_size"),
    [("up", 96, 64, 70), ("down", 480, 270, 140), ("portrait", 360, 640, 98)],
)
def test_its_pixels_are_those_of_the_public_implementation(
    name: str, width: int, height: int, input_size: int
) -> None:
    image = to_network_there(torch.from_numpy(pattern_frame(height, width)), *net_size(width, height, input_size))
    np.testing.assert_allclose(image[:, ::7, ::7], REFERENCE[f"preprocess_{name}"], rtol=0, atol=3e-5)


def smooth(random: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:70, :130].astype(np.float32)
    noise = random.standard_normal((32, 70, 130)).astype(np.float32)
    return np.asarray(np.sin(x / 20) + np.cos(y / 15) + (x + 2 * y > 90) + 0.01 * noise, np.float32)


def squeezed(random: np.random.Generator) -> np.ndarray:
    """Nine tenths in a thousandth of the range: such a window has finer steps."""
    far = random.random((6, 40, 50)).astype(np.float32)
    far[random.random(far.shape) < 0.05] = 1000
    return far


def noisy(random: np.random.Generator) -> np.ndarray:
    return (1e3 * random.standard_normal((5, 3, 67)) - 4e4).astype(np.float32)


def constant(random: np.random.Generator) -> np.ndarray:
    return np.full((2, 4, 5), 2.5, np.float32)


@pytest.mark.parametrize("make", [smooth, squeezed, noisy, constant])
@pytest.mark.parametrize("seed", range(3))
def test_codes_made_on_the_device_are_the_bytes_of_the_host(
    make: Callable[[np.random.Generator], np.ndarray], seed: int, tmp_path: Path
) -> None:
    depth = make(np.random.default_rng(seed))
    write_raw_window(tmp_path / "host.npz", packed(depth), (1,), "who")
    codes = window_codes(torch.from_numpy(depth.copy())).on_host()
    write_raw_window(tmp_path / "device.npz", packed(codes), (1,), "who")
    assert (tmp_path / "device.npz").read_bytes() == (tmp_path / "host.npz").read_bytes()
    assert np.abs(codes.depth() - depth).max() <= codes.step / 2 + np.spacing(np.abs(depth).max())
    assert (check_window(codes) is None) == (make is not constant)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_window_that_is_not_finite_is_known_by_its_codes(wrong: float) -> None:
    depth = np.random.default_rng(0).random((3, 8, 9)).astype(np.float32)
    depth[1, 2, 3] = wrong
    codes = window_codes(torch.from_numpy(depth)).on_host()
    assert "not finite" in (check_window(codes) or "")
    assert not np.isfinite(codes.depth()).any()


@dataclass
class Slow:
    """Traffic in which nothing moves before somebody waits for it, and then what is there by then.

    What was written into meanwhile, or is used without waiting, shows. ``under_way``: what is coming back now.
    """

    late: int
    under_way: int = 0
    most: int = 0
    readied: list[int] = field(default_factory=list)

    def ready(self, tensor: Tensor) -> Tensor:
        self.readied.append(tensor.nbytes)
        return tensor.clone()

    def send(self, tensors: Sequence[Tensor]) -> "OnTheWay":
        return OnTheWay(tensors, lambda: None)

    def fetch(self, tensors: Sequence[Tensor]) -> "OnTheWay":
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return OnTheWay(tensors, self._came)

    def _came(self) -> None:
        self.under_way -= 1


class OnTheWay:
    def __init__(self, tensors: Sequence[Tensor], came: Callable[[], None]) -> None:
        self._from, self._came = tuple(tensors), came
        self._to = tuple(torch.zeros_like(tensor) for tensor in tensors)

    def arrived(self) -> tuple[Tensor, ...]:
        with torch.inference_mode():
            for there, here in zip(self._to, self._from, strict=True):
                there.copy_(here)
        self._came()
        return self._to


WINDOWS = [window.frame_indices for window in sequence_windows(0, 80)]


def frames(order: Sequence[int]) -> Iterator[Picture]:
    """As they are prepared on the host."""
    for index in order:
        yield Picture(index, to_network(slow_frame(index, 60, 90), 48, 32), index != 40)


def bytes_of_frames(order: Sequence[int]) -> Iterator[Picture]:
    for index in order:
        yield Picture(index, slow_frame(index, 60, 90), index != 40, (48, 32))


@pytest.fixture(scope="module")
def model() -> VideoDepthModel:
    torch.manual_seed(5)
    model = build_model("mini")
    spread_depth(model)
    return model


def test_frames_go_as_bytes_and_windows_come_one_late_and_are_the_same(model: VideoDepthModel) -> None:
    expected = list(Engine(model, CPU, MemoryFit(4)).compute(WINDOWS, frames))
    engine = Engine(model, CPU, MemoryFit(4), codes_there=True)
    engine.traffic = traffic = Slow(late=1)
    answers = engine.compute(WINDOWS, bytes_of_frames)
    for number, (answer, want) in enumerate(zip(answers, expected, strict=True), start=1):
        assert isinstance(answer.kept, WindowCodes)
        # The frames' pixels differ in their last bits.
        assert np.abs(answer.depth - want.depth).max() <= answer.kept.step
        assert answer.missing == want.missing
        assert engine.progress.windows_done == number
    assert traffic.most == 2 and traffic.under_way == 0
    assert traffic.readied == [60 * 90 * 3] * 80


@pytest.mark.parametrize("late", [0, 1, 3])
def test_order_and_bytes_are_those_of_work_at_once(model: VideoDepthModel, late: int) -> None:
    at_once = list(Engine(model, CPU, MemoryFit(4)).compute(WINDOWS, bytes_of_frames))
    engine = Engine(model, CPU, MemoryFit(4))
    engine.traffic = Slow(late)
    slow = list(engine.compute(WINDOWS, bytes_of_frames))
    assert [answer.missing for answer in slow] == [answer.missing for answer in at_once]
    assert all(np.array_equal(a.depth, b.depth) for a, b in zip(slow, at_once, strict=True))


def test_a_device_without_streams_keeps_nothing_waiting(model: VideoDepthModel) -> None:
    engine = Engine(model, CPU)
    assert engine.traffic == AtOnce(CPU)
    next(engine.compute(WINDOWS, bytes_of_frames))
    assert (engine.progress.windows_done, engine.progress.batches_done) == (1, 33)
