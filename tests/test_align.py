"""Least squares in order: scale and shift come back, sums stream, and constant depth leaves things as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.joining.align import FitSums, ScaleShift, fit_scale_shift, overlap_weights


def depth(seed: int, shape: tuple[int, ...] = (2, 48, 64)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 20), st.floats(-5, 5), st.integers(0, 99))
def test_scale_and_shift_come_back(scale: float, shift: float, seed: int) -> None:
    raw = depth(seed)
    fit = fit_scale_shift(raw, (raw.astype(np.float64) * scale + shift).astype(np.float32))
    assert fit.scale == pytest.approx(scale, rel=1e-5)
    assert fit.shift == pytest.approx(shift, abs=1e-5)


def test_the_fit_is_that_of_an_independent_solver() -> None:
    raw, reference = depth(1), depth(2)
    design = np.stack([raw.ravel(), np.ones(raw.size)], axis=1).astype(np.float64)
    scale, shift = np.linalg.lstsq(design, reference.ravel().astype(np.float64), rcond=None)[0]
    fit = fit_scale_shift(raw, reference)
    assert (fit.scale, fit.shift) == pytest.approx((scale, shift), rel=1e-10)


def test_three_points_by_hand() -> None:
    """Points (0, 1), (1, 2), (2, 6): slope 5/2, and the line passes through the mean (1, 3)."""
    fit = fit_scale_shift(np.array([0, 1, 2], np.float32), np.array([1, 2, 6], np.float32))
    assert (fit.scale, fit.shift) == pytest.approx((2.5, 0.5))


def test_frames_added_one_by_one_are_fitted_as_one() -> None:
    raw, reference = depth(1), depth(2)
    sums = FitSums()
    for frame, target in zip(raw, reference, strict=True):
        sums.add(frame, target)
    whole = fit_scale_shift(raw, reference)
    assert (sums.solve().scale, sums.solve().shift) == pytest.approx((whole.scale, whole.shift), rel=1e-12)


def test_a_small_spread_on_a_large_offset_is_still_fitted() -> None:
    """float32 sums would lose the spread entirely."""
    raw = 1000 + depth(3)
    fit = fit_scale_shift(raw, 2 * raw - 1999)
    assert fit.scale == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1e6])
def test_constant_depth_is_left_as_it_is(value: float) -> None:
    assert fit_scale_shift(np.full((48, 64), value, np.float32), depth(1, (48, 64))) == ScaleShift(1, 0)


def test_nothing_added_leaves_depth_as_it_is() -> None:
    assert FitSums().solve() == ScaleShift(1, 0)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        FitSums().add(depth(1, (4, 5)), depth(1, (5, 4)))


def test_applying_clips_at_nought_and_leaves_the_raw_depth_alone() -> None:
    raw = np.array([0, 1, 2, np.nan], np.float32)
    aligned = ScaleShift(2, -1).apply(raw)
    assert aligned.dtype == np.float32
    assert aligned == pytest.approx([0, 1, 3, np.nan], nan_ok=True)
    assert raw[:3].tolist() == [0, 1, 2]


@settings(deadline=None)
@given(st.integers(1, 200))
def test_both_chunks_have_a_say_in_every_shared_frame_and_the_later_more_and_more(frames: int) -> None:
    weights = overlap_weights(frames)
    assert weights.shape == (frames,)
    assert weights.min() > 0 and weights.max() < 1
    assert np.all(np.diff(weights) > 0)
    assert weights + weights[::-1] == pytest.approx(np.ones(frames))
