"""The benchmarks' figures: against arithmetic on a few pixels, and plain NumPy written here from the papers."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.metrics import Figures, VideoMetrics, measure
from vda.metrics.alignment import Align, Alignment, Kind
from vda.metrics.boundaries import boundary_errors, depth_edges
from vda.metrics.masks import Crop, inside_crop
from vda.metrics.normals import NormalErrors, surface_normals

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CAP_M = 10.0


def metric(depth: Array, truth: Array) -> Figures:
    return measure([depth], [truth], kind="depth", cap_m=CAP_M)


# ------------------------------------------------------------------------------------------------------- pixels


def by_hand(z: Array, g: Array) -> dict[str, float]:
    """As the papers write them, over all pixels."""
    d = np.log(z) - np.log(g)
    ratio = np.where(z > g, z / g, g / z)
    return {
        "abs_rel": np.mean(abs(z - g) / g),
        "sq_rel": np.mean((z - g) ** 2 / g),
        "rmse": np.mean((z - g) ** 2) ** 0.5,
        "rmse_log": np.mean(d**2) ** 0.5,
        "silog": 100 * np.var(d) ** 0.5,
        "log10": np.mean(abs(np.log10(z) - np.log10(g))),
        "delta1": np.mean(ratio < 1.25),
        "delta2": np.mean(ratio < 1.25**2),
        "delta3": np.mean(ratio < 1.25**3),
    }


@pytest.mark.parametrize("frames", [1, 5])
def test_pixel_figures_are_those_of_the_papers_over_all_pixels_and_of_each_frame(frames: int) -> None:
    random = np.random.default_rng(frames)
    truth = random.uniform(0.5, 9.5, (frames, 6, 7))
    depth = np.clip(truth * np.exp(random.normal(0.1, 0.3, truth.shape)), 0.01, 10)
    # Frames with few pixels count with what they have, and by themselves as much as any other.
    truth[-1, 1:] = 0
    seen = truth > 0
    figures = measure(depth, truth, kind="depth", cap_m=CAP_M)
    for name, value in by_hand(depth[seen], truth[seen]).items():
        assert getattr(figures, name) == pytest.approx(value, rel=1e-12), name
    each = [by_hand(z[s], g[s]) for z, g, s in zip(depth, truth, seen, strict=True)]
    for name in each[0]:
        values = [row[name] for row in each]
        over = figures.over_frames()
        assert getattr(over["mean"], name) == pytest.approx(np.mean(values), rel=1e-12), name
        assert getattr(over["median"], name) == pytest.approx(np.median(values), rel=1e-12), name


def test_a_wrong_scale_alone_by_hand() -> None:
    # All twice too far: ln 2 in every pixel, which does not spread.
    figures = metric(np.array([[2.0, 4.0, 8.0]]), np.array([[1.0, 2.0, 4.0]]))
    assert figures.abs_rel == pytest.approx(1)
    assert figures.sq_rel == pytest.approx((1 + 2 + 4) / 3)
    assert figures.rmse_log == pytest.approx(math.log(2))
    assert figures.silog == pytest.approx(0, abs=1e-12)
    assert figures.delta3 == 0


def test_silog_by_hand_and_what_it_is_called_elsewhere() -> None:
    # Logarithms of the ratio: 0.3 and -0.1, so mean 0.1, and 0.2 away from it.
    truth = np.array([[2.0, 3.0]])
    figures = metric(truth * np.exp([[0.3, -0.1]]), truth)
    assert figures.silog == pytest.approx(20)
    assert figures.rmse_log == pytest.approx(math.sqrt((0.09 + 0.01) / 2))
    # Depth Anything V2 prints the root of mean(d^2) - mean(d)^2 / 2, which follows from these two.
    theirs = math.sqrt((0.09 + 0.01) / 2 - 0.5 * 0.1**2)
    assert math.sqrt((figures.rmse_log**2 + (figures.silog / 100) ** 2) / 2) == pytest.approx(theirs)


def test_the_json_has_the_names_of_the_fields_programs() -> None:
    written = measure([STEP], [STEP], kind="depth", cap_m=CAP_M, intrinsics=CAMERA.scaled(60, 40)).to_json()
    pixels = "abs_rel sq_rel rmse rmse_log silog log10 delta1 delta2 delta3 dbe_acc dbe_com tae"
    normals = "normal_mean normal_median normal_rmse normal_a1 normal_a2 normal_a3 normal_a4 normal_a5"
    assert {*pixels.split(), *normals.split()} <= written.keys()
    assert (written["upside_down"], written["upright"]) == (False, None)
    assert written["over_frames"].keys() == {"mean", "median"}


# ---------------------------------------------------------------------------------------------------- alignment


def test_an_upside_down_fit_is_marked_and_the_best_that_is_not_stands_beside_it() -> None:
    # Inverse truth 1, 1/2, 1/4 against 0, 1, 3: the line through them falls. The best that does not fall is flat,
    # at their mean 7/12, for the sum of squares is a parabola over the scale.
    truth = np.array([[1.0, 2.0, 4.0]])
    figures = measure([np.array([[0.0, 1.0, 3.0]])], [truth], cap_m=CAP_M)
    line = np.polyfit([0, 1, 3], [1, 0.5, 0.25], 1)
    assert (figures.scale, figures.shift) == pytest.approx(tuple(line), rel=1e-5)
    assert figures.upside_down
    upright = figures.right_way_up
    assert not upright.upside_down
    assert (upright.scale, upright.shift) == (0, pytest.approx(7 / 12))
    assert upright.abs_rel == pytest.approx(np.mean(abs(12 / 7 - truth) / truth))
    assert upright.abs_rel > figures.abs_rel
    assert figures.to_json()["upright"]["scale"] == 0


def test_no_scale_above_zero_is_better_than_the_flat_one() -> None:
    random = np.random.default_rng(3)
    x, r = random.uniform(0, 1, 50), random.uniform(0.2, 1, 50)
    x = x - 0.5 * r
    fit = Alignment("inverse_depth", "scale-shift")
    fit.add(x, 1 / r)
    assert fit.solve().scale < 0
    upright = fit.upright()
    least = np.sum((upright.scale * x + upright.shift - r) ** 2)
    for scale in np.linspace(0, 1, 21):
        shifts = np.linspace(-1, 2, 301)[:, None]
        assert np.sum((scale * x + shifts - r) ** 2, axis=1).min() >= least - 1e-9


def test_right_way_up_is_what_is_measured_where_the_scale_is_above_zero() -> None:
    truth = np.array([[1.0, 2.0, 4.0]])
    figures = measure([1 / truth + [[0, 0.1, 0]]], [truth], cap_m=CAP_M)
    assert not figures.upside_down
    assert figures.right_way_up is figures


# Two frames of three pixels: the second twice as far as its prediction says, measured by the first.
PREDICTED = np.array([[[1.0, 2.0, 4.0]], [[1.0, 2.0, 3.0]]])
TRUE = np.array([[[2.0, 4.0, 9.0]], [[4.0, 8.0, 12.5]]]) / 2


@pytest.mark.parametrize(
    ("kind", "align", "expected"),
    [
        # Sum of products over sum of squares, of 1, 2, 4, 1, 2, 3 and 1, 2, 4.5, 2, 4, 6.25.
        ("depth", "scale", (1 + 4 + 18 + 2 + 8 + 18.75) / (1 + 4 + 16 + 1 + 4 + 9)),
        # Medians of all: 3 (between 2 and 4) over 2.
        ("depth", "median", 3.0 / 2),
        # Each frame's medians: 2 over 2 and 4 over 2; what is told is the median of 1 and 2.
        ("depth", "frame-median", 1.5),
        ("depth", "none", 1.0),
        # The same in inverse depth, whose multiplier is the inverse.
        ("inverse_depth", "median", 2.0 / 3),
        ("inverse_depth", "frame-median", 0.75),
    ],
)
def test_scale_alone_by_hand(kind: Kind, align: Align, expected: float) -> None:
    predicted = PREDICTED if kind == "depth" else 1 / PREDICTED
    figures = measure(predicted, TRUE, kind=kind, cap_m=CAP_M, align=align)
    assert (figures.scale, figures.shift) == (pytest.approx(expected, rel=4e-5), 0)


def test_scale_alone_in_inverse_depth_is_the_projection() -> None:
    random = np.random.default_rng(7)
    truth = random.uniform(1, 9, (3, 5, 6))
    predicted = 1 / truth + random.normal(0, 0.05, truth.shape)
    figures = measure(predicted, truth, cap_m=CAP_M, align="scale")
    r, x = (1 / truth).ravel(), predicted.ravel()
    assert figures.scale == pytest.approx(np.linalg.lstsq(x[:, None], r, rcond=None)[0][0], rel=1e-6)
    assert figures.shift == 0


def test_frames_with_scales_of_their_own_have_no_error_frame_by_frame() -> None:
    truth = np.random.default_rng(5).uniform(1, 9, (4, 5, 5))
    drifting = truth / np.array([1.0, 2.0, 3.0, 4.0])[:, None, None]
    alone = measure(drifting, truth, kind="depth", cap_m=CAP_M, align="frame-median")
    assert alone.abs_rel < 1e-12
    assert (alone.scale, alone.scale_std) == pytest.approx((2.5, np.std([1, 2, 3, 4]) / 2.5))
    assert measure(drifting, truth, kind="depth", cap_m=CAP_M, align="median").abs_rel > 0.2


@pytest.mark.parametrize("size", [999, 1000])
def test_the_median_of_a_video_is_numpys_to_a_class(size: int) -> None:
    random = np.random.default_rng(size)
    depth, truth = random.lognormal(0, 2, size), random.uniform(0.5, 9, size)
    fit = Alignment("depth", "median")
    for part in range(0, size, 100):
        fit.add(depth[part : part + 100], truth[part : part + 100])
    assert fit.solve().scale == pytest.approx(np.median(truth) / np.median(depth), rel=4e-5)


@pytest.mark.parametrize("align", ["median", "frame-median"])
def test_depth_that_is_mostly_infinite_has_no_median(align: Align) -> None:
    with pytest.raises(InputError, match="median says nothing"):
        measure([np.array([[0.0, 0.0, 1.0]])], [np.array([[1.0, 2.0, 3.0]])], cap_m=CAP_M, align=align)


def test_metric_depth_may_get_a_scale_and_a_shift_in_depth() -> None:
    truth = np.array([[1.0, 2.0, 4.0]])
    figures = measure([3 * truth + 2], [truth], kind="depth", cap_m=CAP_M, align="scale-shift")
    assert (figures.scale, figures.shift) == pytest.approx((1 / 3, -2 / 3))
    assert figures.abs_rel < 1e-6


# -------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(
    ("crop", "shape", "box"),
    [
        # KITTI's 375 x 1242 as in the field's programs: 0.40810811 * 375 = 153.04 and so on, rounded down.
        ("garg", (375, 1242), (153, 371, 44, 1197)),
        ("eigen", (375, 1242), (124, 342, 44, 1197)),
        ("nyu", (480, 640), (45, 471, 41, 601)),
    ],
)
def test_crops_are_those_of_the_benchmarks(
    crop: Crop, shape: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    rows, columns = np.nonzero(inside_crop(shape, crop))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == box
    assert len(rows) == (box[1] - box[0]) * (box[3] - box[2])


def test_the_crop_of_one_size_is_refused_at_another() -> None:
    with pytest.raises(InputError, match="640 x 480; this is 320 x 240"):
        inside_crop((240, 320), "nyu")


# --------------------------------------------------------------------------------------------------- boundaries

STEP = np.repeat(np.where(np.arange(60) < 30, 2.0, 4.0)[None], 40, axis=0)


def published(edges: Mask, truth_edges: Mask) -> tuple[float, float]:
    """What iBims-1's authors compute, written anew from the formulas, with every distance by brute force."""
    places, true = np.argwhere(edges), np.argwhere(truth_edges)
    apart = np.sqrt(((places[:, None] - true[None]) ** 2).sum(-1))
    ours, theirs = apart.min(axis=1), apart.min(axis=0)
    near = ours[ours < 10]
    if not len(near):
        return 10.0, 10.0
    both = [min(distance, 10.0) for distance in (*ours, *theirs)]
    return float(np.mean(near)), float(np.mean(both))


def test_boundary_errors_are_the_published_ones() -> None:
    random = np.random.default_rng(2)
    for share in (0.002, 0.01, 0.05):
        edges, true = (random.uniform(size=(40, 60)) < share for _ in range(2))
        assert boundary_errors(edges, true) == pytest.approx(published(edges, true), abs=1e-5)


def test_a_shifted_edge_is_as_far_off_as_it_was_shifted() -> None:
    for columns in (0, 1, 4):
        figures = metric(np.roll(STEP, columns, axis=1)[:, 10:-10], STEP[:, 10:-10])
        assert figures.boundaries is not None
        assert (figures.boundaries.dbe_acc, figures.boundaries.dbe_com) == (columns, columns)


def test_an_edge_of_a_step_is_one_line_where_the_step_is() -> None:
    edges = depth_edges(STEP, np.ones(STEP.shape, bool))
    assert (edges[3:-3].sum(axis=1) == 1).all()
    assert set(np.nonzero(edges)[1]) <= {29, 30}


def test_edges_that_are_missing_or_elsewhere_cost_the_most() -> None:
    flat = np.full(STEP.shape, 3.0)
    for depth in (flat, np.roll(STEP, 12, axis=1)[:, 15:50]):
        truth = STEP[:, 15:50] if depth.shape[1] == 35 else STEP
        figures = metric(depth, truth).boundaries
        assert figures is not None
        assert (figures.dbe_acc, figures.dbe_com) == (10, 10)


def test_truth_without_edges_has_no_boundary_error() -> None:
    assert metric(STEP, np.full(STEP.shape, 3.0)).boundaries is None


@pytest.mark.parametrize("hole", [np.s_[10:30, 40:55], np.s_[5:35, 26:34]])
def test_holes_make_no_edges(hole: tuple[slice, slice]) -> None:
    counts = np.ones(STEP.shape, bool)
    counts[hole] = False
    edges = depth_edges(np.where(counts, STEP, 0), counts)
    away = ndimage.binary_erosion(counts, iterations=3, border_value=1)
    assert not edges[~away].any()
    assert set(np.nonzero(edges)[1]) <= {29, 30}


# ------------------------------------------------------------------------------------------------------ normals

CAMERA = Intrinsics(40, 30, fx=50, fy=45, cx=18, cy=16)


def plane(normal: Array, distance: float = -3.0) -> Array:
    """Depth of the plane n . P = distance: along the ray r it is distance / (n . r)."""
    x, y = np.meshgrid((np.arange(40) - 18) / 50, (np.arange(30) - 16) / 45)
    return np.asarray(distance / (normal[0] * x + normal[1] * y + normal[2]))


def unit(*vector: float) -> Array:
    return np.array(vector) / np.linalg.norm(vector)


@pytest.mark.parametrize("normal", [unit(0, 0, -1), unit(0.3, 0.2, -1), unit(-0.5, 0.1, -1), unit(0, -1, -0.8)])
def test_the_normal_of_a_plane_is_the_planes(normal: Array) -> None:
    for only_smooth in (False, True):
        found = surface_normals(plane(normal), CAMERA, only_smooth=only_smooth)
        # Windows of 9 x 9 have to be in the picture.
        assert np.isnan(found[:4]).all()
        assert np.isnan(found[:, -4:]).all()
        assert found[4:-4, 4:-4] == pytest.approx(np.broadcast_to(normal, (22, 32, 3)), abs=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_the_normal_is_that_of_the_plane_that_fits_its_window_best(noise: float) -> None:
    """Of a sphere, and of noise: the plane by NumPy's least squares in inverse depth over the rays."""
    x, y = np.meshgrid((np.arange(40) - 18) / 50, (np.arange(30) - 16) / 45)
    inverse = 1 / (3 - np.sqrt(1 - x**2 - y**2)) + np.random.default_rng(1).normal(0, noise, x.shape)
    found = surface_normals(1 / inverse, CAMERA)
    for row, column in ((4, 4), (15, 20), (25, 35)):
        window = np.s_[row - 4 : row + 5, column - 4 : column + 5]
        rays = np.stack([x[window].ravel(), y[window].ravel(), np.ones(81)], axis=1)
        fitted = np.linalg.lstsq(rays, inverse[window].ravel(), rcond=None)[0]
        assert found[row, column] == pytest.approx(-fitted / np.linalg.norm(fitted), abs=1e-9)


def test_steps_of_a_depth_sensor_do_not_hide_a_plane() -> None:
    # A Kinect: disparity in eighths of a pixel at a focal length of 585 and a base of 75 mm, so 11 mm at 2 m.
    camera = Intrinsics(640, 480, 585, 585, 319.5, 239.5)
    normal = unit(0.4, -0.3, -1)
    x, y = np.meshgrid((np.arange(640) - 319.5) / 585, (np.arange(480) - 239.5) / 585)
    depth = 2 * normal[2] / (normal[0] * x + normal[1] * y + normal[2])
    steps = 8 * 585 * 0.075
    stepped = steps / np.rint(steps / depth)
    angle = np.degrees(np.arccos(np.clip(surface_normals(stepped, camera, only_smooth=True) @ normal, -1, 1)))
    assert np.isfinite(angle[4:-4, 4:-4]).all()
    assert np.nanpercentile(angle, 95) < 5


def test_edges_of_the_truth_have_no_normal_and_those_of_the_depth_do() -> None:
    step = np.where(np.arange(40) < 20, 2.0, 3.0) * np.ones((30, 1))
    smooth = np.isfinite(surface_normals(step, CAMERA, only_smooth=True)[15, :, 0])
    assert np.flatnonzero(smooth).tolist() == [*range(4, 16), *range(24, 36)]
    assert np.isfinite(surface_normals(step, CAMERA)[15, 4:36]).all()


def test_the_camera_may_be_for_another_size() -> None:
    twice = CAMERA.scaled(80, 60)
    assert surface_normals(plane(unit(0.3, 0.2, -1)), twice) == pytest.approx(
        surface_normals(plane(unit(0.3, 0.2, -1)), CAMERA), nan_ok=True
    )


def turned(degrees: float) -> Array:
    """Turned about the y axis away from the camera's own."""
    return unit(math.sin(math.radians(degrees)), 0, -math.cos(math.radians(degrees)))


@pytest.mark.parametrize("degrees", [0.0, 3.0, 10.0, 20.0, 40.0])
def test_angles_and_shares_of_a_turned_plane(degrees: float) -> None:
    figures = measure(
        [plane(turned(degrees))], [plane(turned(0))], kind="depth", cap_m=CAP_M, intrinsics=CAMERA
    ).normals
    assert figures is not None
    assert figures.normal_mean == pytest.approx(degrees, abs=1e-6)
    assert figures.normal_rmse == pytest.approx(degrees, abs=1e-6)
    assert figures.normal_median == pytest.approx(degrees, abs=0.005)
    shares = [getattr(figures, f"normal_a{place}") for place in range(1, 6)]
    assert shares == [float(degrees < limit) for limit in (5, 7.5, 11.25, 22.5, 30)]


def test_angles_are_the_inverse_cosines_over_all_frames() -> None:
    random = np.random.default_rng(4)
    errors, angles = NormalErrors(), []
    for _ in range(3):
        one, other = (random.normal(size=(6, 7, 3)) for _ in range(2))
        one, other = (n / np.linalg.norm(n, axis=-1, keepdims=True) for n in (one, other))
        one[0, 0] = np.nan
        errors.add(one, other)
        angles.append(np.degrees(np.arccos((one * other).sum(-1)))[~np.isnan(one[..., 0])])
    found, expected = errors.figures(), np.concatenate(angles)
    assert found is not None
    assert found.normal_mean == pytest.approx(expected.mean())
    assert found.normal_median == pytest.approx(np.median(expected), abs=0.01)
    assert found.normal_rmse == pytest.approx(np.sqrt(np.mean(expected**2)))
    assert found.normal_a5 == pytest.approx(np.mean(expected < 30))


def test_a_normal_needs_depth_in_its_whole_window() -> None:
    depth = plane(unit(0, 0, -1))
    depth[10, 12] = np.nan
    missing = np.isnan(surface_normals(depth, CAMERA)[..., 0])
    expected = np.ones((30, 40), bool)
    expected[4:-4, 4:-4] = False
    expected[6:15, 8:17] = True
    assert (missing == expected).all()


@pytest.mark.parametrize("measured", [lambda m: m.figures().normals, lambda m: m.figures().boundaries])
def test_a_video_without_a_valid_pixel_has_neither(measured: Callable[[VideoMetrics], object]) -> None:
    metrics = VideoMetrics("depth", cap_m=CAP_M, intrinsics=CAMERA)
    metrics.add(np.ones((30, 40)), np.zeros((30, 40)))
    assert measured(metrics) is None
