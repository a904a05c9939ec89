"""Raw windows to a whole video's depth, against what the public implementation gives for the same weights.

``reference_video.npz`` holds its numbers at every 5th row and 7th column of a few frames, and every frame's mean.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded_model, slow_frame
from torch.nn.functional import interpolate

from vda.compute.engine import Engine, Picture
from vda.joining.align import ScaleShift, fit_scale_shift
from vda.joining.sequence import SequenceDepth, resize_depth
from vda.network.model import VideoDepthModel
from vda.network.packing import packed
from vda.network.preprocess import net_size, to_network
from vda.scene.rawwindows import open_raw_window, write_raw_window
from vda.scene.windows import sequence_windows

HEIGHT, WIDTH, INPUT_SIZE = 64, 96, 70
REFERENCE = np.load(Path(__file__).with_name("reference_video.npz"))
TOLERANCE = 3e-5


def pattern_frame(index: int) -> np.ndarray:
    """The fast pattern: uint8 ``[64, 96, 3]``, each channel a ramp that moves at its own speed."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    channels = [x * 4 + index * 3, y * 4 + index * 5, (x + y) * 2 + index * 7]
    return (np.stack(channels, -1) % 256).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> VideoDepthModel:
    return seeded_model("vits")


def windows_on_disk(model: VideoDepthModel, folder: Path, frames: int, draw: Callable[[int], np.ndarray]) -> Path:
    width, height = net_size(WIDTH, HEIGHT, INPUT_SIZE)
    windows = list(sequence_windows(0, frames))
    engine = Engine(model, torch.device("cpu"))
    answers = engine.compute(
        [window.frame_indices for window in windows],
        lambda order: (Picture(index, to_network(draw(index), width, height), True) for index in order),
    )
    for window, answer in zip(windows, answers, strict=True):
        write_raw_window(folder / f"{window.k}.npz", packed(answer.depth))
    return folder


@pytest.fixture(scope="module")
def fast(model: VideoDepthModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return windows_on_disk(model, tmp_path_factory.mktemp("fast"), 60, pattern_frame)


@pytest.fixture(scope="module")
def slow(model: VideoDepthModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = lambda index: slow_frame(index, HEIGHT, WIDTH)  # noqa: E731
    return windows_on_disk(model, tmp_path_factory.mktemp("slow"), 75, draw)


def joined(folder: Path, frames: int, *, metric: bool = False) -> SequenceDepth:
    return SequenceDepth.fitted(
        0, frames, WIDTH, HEIGHT, lambda k: open_raw_window(folder / f"{k}.npz"), metric=metric
    )


def assert_agrees(sequence: SequenceDepth, name: str) -> None:
    depth = np.stack([sequence.frame(index) for index in range(sequence.stop)])
    assert np.abs(depth.mean((1, 2)) - REFERENCE[f"{name}_mean"]).max() < TOLERANCE
    sampled = depth[REFERENCE[f"{name}_frames"], ::5, ::7]
    assert np.abs(sampled - REFERENCE[f"{name}_depth"]).max() < TOLERANCE
    low, high = sequence.value_range()
    assert low <= depth.min() and depth.max() <= high
    assert high - low < 1.2 * (depth.max() - depth.min())


def test_relative_depth_is_joined_as_by_the_public_implementation(fast: Path) -> None:
    assert_agrees(joined(fast, 60), "relative")


def test_metric_depth_is_blended_and_never_scaled(fast: Path) -> None:
    sequence = joined(fast, 60, metric=True)
    assert set(sequence.fits) == {ScaleShift()}
    assert_agrees(sequence, "metric")


def test_later_windows_are_fitted_as_by_the_public_implementation(slow: Path) -> None:
    sequence = joined(slow, 75)
    fits = [(fit.scale, fit.shift) for fit in sequence.fits[1:]]
    assert np.abs(np.array(fits) - REFERENCE["slow_scale_shift"]).max() < TOLERANCE
    assert_agrees(sequence, "slow")


def test_frames_come_in_any_order(fast: Path) -> None:
    forwards, backwards = joined(fast, 60), joined(fast, 60)
    expected = [forwards.frame(index) for index in range(60)]
    assert all(np.array_equal(backwards.frame(index), expected[index]) for index in reversed(range(60)))


def test_values_below_zero_are_clipped_before_blending(tmp_path: Path) -> None:
    """Two windows by hand: the second, of slope 1 down from 3, is fitted with a shift and clipped at 0."""
    ramp = np.linspace(0, 8, 32 * 48, dtype=np.float32).reshape(32, 48)
    write_raw_window(tmp_path / "0.npz", packed(np.broadcast_to(ramp, (32, 32, 48))))
    # Its anchors see the ramp plus 3: the shift is -3, and what lies below 3 in the rest ends at 0.
    second = np.broadcast_to(ramp + 3, (32, 32, 48)).copy()
    second[2:] = ramp
    write_raw_window(tmp_path / "1.npz", packed(second))
    sequence = SequenceDepth.fitted(0, 47, 48, 32, lambda k: open_raw_window(tmp_path / f"{k}.npz"), metric=False)
    assert sequence.fits[1].scale == pytest.approx(1, abs=1e-4)
    assert sequence.fits[1].shift == pytest.approx(-3, abs=1e-3)
    clipped = np.maximum(ramp - 3, 0)
    assert np.abs(sequence.frame(40) - clipped).max() < 1e-3
    for slot, weight in ((2, 0.0), (3, 1 / 7), (9, 1.0)):
        expected = (1 - weight) * ramp + weight * clipped
        assert np.abs(sequence.frame(22 + slot) - expected).max() < 1e-3


def test_joint_alignment_finds_every_windows_scale_and_shift(tmp_path: Path) -> None:
    """Five windows that see one scene, each with a scale and shift of its own: joined, nothing of them is left."""
    random = np.random.default_rng(6)
    y, x = np.mgrid[:32, :48].astype(np.float32)

    def scenery(index: int) -> np.ndarray:
        return 2 + 0.1 * y + 0.03 * x + np.sin((x + index) / 6)

    windows = list(sequence_windows(0, 110))
    for window in windows:
        scale, shift = random.uniform(0.5, 2), random.uniform(0, 1)
        depth = np.stack([scale * scenery(index) + shift for index in window.frame_indices]).astype(np.float32)
        write_raw_window(tmp_path / f"{window.k}.npz", packed(depth))
    sequence = SequenceDepth.fitted(
        0, 110, 48, 32, lambda k: open_raw_window(tmp_path / f"{k}.npz"), metric=False, align="joint"
    )
    assert len(sequence.fits) == len(windows) == 5
    depth = np.stack([sequence.frame(index) for index in range(110)])
    truth = np.stack([scenery(index) for index in range(110)]).astype(np.float32)
    assert np.abs(fit_scale_shift(depth, truth).apply(depth) - truth).max() < 1e-3
    # The whole keeps its size, by the median: one odd window does not move it.
    assert np.median([fit.scale for fit in sequence.fits]) == pytest.approx(1)


def test_resizing_keeps_corners_in_place_as_the_network_does() -> None:
    depth = np.random.default_rng(3).random((7, 9), np.float32)
    resized = resize_depth(depth, 33, 25)
    assert [resized[0, 0], resized[-1, -1]] == [depth[0, 0], depth[-1, -1]]
    x = np.linspace(0, 8, 33)
    assert np.abs(resized[0] - np.interp(x, np.arange(9), depth[0])).max() < 1e-6
    y = np.linspace(0, 6, 25)
    assert np.abs(resized[:, 4 * 4] - np.interp(y, np.arange(7), depth[:, 4])).max() < 1e-6
    same = interpolate(torch.from_numpy(depth)[None, None], (25, 33), mode="bilinear", align_corners=True)
    assert np.abs(resized - same[0, 0].numpy()).max() < 1e-6
