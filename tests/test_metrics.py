"""The figures against cases computed by hand, by other libraries and by a published evaluator."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.metrics import VideoMetrics, measure, ramp
from vda.metrics.masks import inside_border, valid_truth
from vda.metrics.temporal import TemporalSums, warp

Array = NDArray[np.float64]

CAP_M = 10.0
WIDE = Intrinsics(4, 3, fx=2, fy=2, cx=1.5, cy=1)


def moved(x: float = 0, y: float = 0, z: float = 0) -> Array:
    """The pose of a camera that looks along z from (x, y, z)."""
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def test_figures_of_metric_depth_by_hand() -> None:
    truth = np.array([[1.0, 2.0, 4.0, 0.0]])
    figures = measure([np.array([[1.2, 2.0, 6.0, 5.0]])], [truth], kind="depth", cap_m=CAP_M)
    assert figures.abs_rel == pytest.approx((0.2 + 0 + 0.5) / 3)
    assert figures.rmse == pytest.approx(math.sqrt((0.2**2 + 0 + 2**2) / 3))
    assert (figures.delta1, figures.delta2, figures.delta3) == pytest.approx((2 / 3, 1, 1))
    assert figures.log10 == pytest.approx((math.log10(1.2) + math.log10(1.5)) / 3)
    assert (figures.pixels, figures.frames, figures.coverage, figures.tae) == (3, 1, 1, None)


def test_one_scale_and_shift_for_all_frames() -> None:
    inverse = np.array([[[1.0, 0.5]], [[0.25, 0.2]]])
    right = measure(4 * inverse + 3, 1 / inverse, cap_m=CAP_M)
    assert (right.abs_rel, right.delta1) == (pytest.approx(0, abs=1e-6), 1)
    assert (right.scale, right.shift) == pytest.approx((0.25, -0.75), rel=1e-5)
    each_its_own = inverse * np.array([1.0, 3.0])[:, None, None]
    assert measure(each_its_own, 1 / inverse, cap_m=CAP_M).abs_rel > 0.1


def test_aligned_inverse_depth_is_clipped_at_the_cap() -> None:
    # The line through (0, 1), (1, 0.5), (2, 0.2), (3, 0.125) is 0.895 - 0.2925 x by the normal equations.
    prediction, inverse = np.array([[0.0, 1.0, 2.0, 3.0]]), np.array([[1.0, 0.5, 0.2, 0.125]])
    metrics = VideoMetrics("inverse_depth", cap_m=CAP_M)
    metrics.fit(prediction, 1 / inverse)
    assert metrics.depth(prediction, 1 / inverse) == pytest.approx(
        np.array([[1 / 0.895, 1 / 0.6025, 1 / 0.31, CAP_M]]), rel=1e-5
    )


def test_metric_depth_is_clipped_at_the_cap() -> None:
    figures = measure([np.array([[70.0, 2.0]])], [np.array([[8.0, 2.0]])], kind="depth", cap_m=CAP_M)
    assert figures.abs_rel == pytest.approx((10 - 8) / 8 / 2)


def test_truth_beyond_the_cap_the_sky_and_what_is_masked_does_not_count() -> None:
    truth = np.array([[1.0, 2.0, 10.0, np.inf, np.nan, 0.0, -1.0, 4.0]])
    assert valid_truth(truth, CAP_M).tolist() == [[True, True] + [False] * 5 + [True]]
    mask = np.ones_like(truth, dtype=bool)
    mask[0, -1] = False
    prediction = np.array([[1.0, 2.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]])
    figures = measure([prediction], [truth], [mask], kind="depth", cap_m=CAP_M)
    assert (figures.pixels, figures.abs_rel) == (2, 0)


def test_the_border_is_left_out_on_all_sides() -> None:
    assert inside_border((4, 5), 1).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert inside_border((2, 3), 0).all()


def test_pixels_without_a_prediction_are_left_out_and_shown_in_the_coverage() -> None:
    figures = measure([np.array([[1.0, np.nan, 2.0, 4.0]])], [np.array([[1.0, 2.0, 2.0, 4.0]])], cap_m=CAP_M)
    assert (figures.pixels, figures.coverage) == (3, 0.75)


def test_a_constant_is_fitted_by_the_mean_of_inverse_depth() -> None:
    figures = measure([np.full((1, 2), 7.0)], [np.array([[1.0, 4.0]])], cap_m=CAP_M)
    assert (figures.scale, figures.shift) == (0, pytest.approx((1 + 0.25) / 2))
    assert figures.abs_rel == pytest.approx((abs(1.6 - 1) / 1 + abs(1.6 - 4) / 4) / 2)


def test_the_ramp_is_nearer_towards_the_bottom() -> None:
    assert ramp(3, 2).tolist() == [[0, 0], [0.5, 0.5], [1, 1]]


def test_a_video_without_a_valid_pixel_has_no_figures() -> None:
    figures = measure([np.ones((2, 2))], [np.zeros((2, 2))], cap_m=CAP_M)
    assert figures.pixels == 0
    assert math.isnan(figures.abs_rel)
    assert math.isnan(figures.coverage)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_alignment_is_the_regression_line_and_figures_do_not_depend_on_the_units(
    seed: int, scale: float, shift: float
) -> None:
    random = np.random.default_rng(seed)
    truth = random.uniform(0.5, 9, (3, 5, 7))
    prediction = 1 / truth + random.normal(0, 0.2, truth.shape)
    line = stats.linregress(prediction.ravel(), 1 / truth.ravel())
    plain, rescaled = (measure(p, truth, cap_m=CAP_M) for p in (prediction, scale * prediction + shift))
    assert (plain.scale, plain.shift) == pytest.approx((line.slope, line.intercept), rel=1e-3, abs=1e-4)
    assert plain.abs_rel == pytest.approx(rescaled.abs_rel, rel=1e-3)


def test_figures_agree_with_a_published_evaluator() -> None:
    """The figures that mmsegmentation 1.2.2's ``DepthMetric`` (Apache-2.0, PyPI) gives for these arrays."""
    random = np.random.RandomState(5)
    truth = random.uniform(0.5, 9.5, (4, 30, 40))
    prediction = np.clip(truth * np.exp(random.normal(0, 0.25, truth.shape)), 1e-3, 10)
    figures = measure(prediction, truth, kind="depth", cap_m=CAP_M)
    assert figures.abs_rel == pytest.approx(0.19048269427742898, rel=1e-12)
    assert figures.rmse == pytest.approx(1.2227034791819449, rel=1e-12)
    assert figures.log10 == pytest.approx(0.08278470049556609, rel=1e-12)
    deltas = (figures.delta1, figures.delta2, figures.delta3)
    assert deltas == pytest.approx((0.6539583206176758, 0.9437500238418579, 0.9937499761581421), abs=1e-7)


# ------------------------------------------------------------------------------------------------------ in time


def test_a_pixel_is_carried_where_the_camera_sees_it() -> None:
    # The camera moves right by 1: what is at depth z moves left by fx / z, that is by 1 pixel at 2, 2 pixels at 1.
    depth = np.full((3, 4), 2.0)
    depth[1, 3] = 1.0
    carried = warp(depth, WIDE, moved(x=-1))
    assert carried[0, :3].tolist() == [2, 2, 2]
    assert carried[1, :2].tolist() == [2, 1]
    assert np.isnan(carried[0, 3])
    assert np.isnan(carried[1, 2:]).all()


@pytest.mark.parametrize(("moved_m", "rows"), [(0.49, [0, 1, 2]), (0.51, [1, 2])])
def test_points_go_to_the_nearest_pixel(moved_m: float, rows: list[int]) -> None:
    # At depth 2 a metre is one pixel: down by just under half of one stays, just over half goes to the row above.
    depth = np.full((3, 4), 2.0) + np.array([[0.0], [0.001], [0.002]])
    carried = warp(depth, WIDE, moved(y=-moved_m))
    assert carried[: len(rows), 0] == pytest.approx(depth[rows, 0])
    assert np.isnan(carried[len(rows) :]).all()


def test_of_two_points_on_one_pixel_the_nearest_counts() -> None:
    depth = np.full((3, 4), np.nan)
    depth[0, 0], depth[0, 1] = 1.0, 2.0
    depth[1, 1], depth[1, 0] = 2.0, 1.0
    carried = warp(depth, WIDE, moved(x=1))
    assert (carried[0, 2], carried[1, 2]) == (1, 1)
    assert np.isfinite(carried).sum() == 2


def test_nothing_behind_the_camera_is_carried() -> None:
    assert np.isnan(warp(np.full((3, 4), 2.0), WIDE, moved(z=-2.5))).all()


def test_depth_that_follows_the_camera_has_no_temporal_error() -> None:
    # A wall in front, approached by half a metre.
    error = TemporalSums(WIDE)
    for depth_m, z in ((2.0, 0.0), (1.5, 0.5), (1.0, 1.0)):
        error.add(np.full((3, 4), depth_m), np.ones((3, 4), dtype=bool), moved(z=z))
    assert error.value() == 0


def test_the_temporal_error_by_hand() -> None:
    # A wall said to be 2 m away throughout: carried forward it is at 1.5, carried back at 2.5, each 25 % off.
    figures = measure(
        np.full((2, 3, 4), 2.0),
        np.full((2, 3, 4), 2.0),
        kind="depth",
        cap_m=CAP_M,
        intrinsics=WIDE,
        poses=[moved(), moved(z=0.5)],
    )
    assert figures.tae == pytest.approx(25)


def test_the_temporal_error_counts_where_the_target_has_truth() -> None:
    depth = np.array([np.full((3, 4), 2.0), np.full((3, 4), 2.0)])
    depth[1, 0] = 4.0
    truth = np.full((2, 3, 4), 2.0)
    poses = [moved(), moved()]
    whole = measure(depth, truth, kind="depth", cap_m=CAP_M, intrinsics=WIDE, poses=poses)
    assert whole.tae == pytest.approx(100 * (0.5 / 3 + 1.0 / 3) / 2)
    truth[:, 0] = 0
    masked = measure(depth, truth, kind="depth", cap_m=CAP_M, intrinsics=WIDE, poses=poses)
    assert masked.tae == 0


def test_frames_without_a_pose_part_the_pairs() -> None:
    error = TemporalSums(WIDE)
    valid = np.ones((3, 4), dtype=bool)
    for depth_m, pose in ((1.0, moved()), (9.0, None), (2.0, moved()), (2.0, np.full((4, 4), np.nan))):
        error.add(np.full((3, 4), depth_m), valid, pose)
    assert error.value() is None


def test_a_lens_is_refused() -> None:
    lens = Intrinsics(4, 3, 2, 2, 1.5, 1, "opencv", (0.1, 0, 0, 0))
    with pytest.raises(InputError, match="distortion"):
        TemporalSums(lens)
