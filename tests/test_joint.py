"""All pieces at once: random scales and shifts come back, with noise, holes and an object one piece alone has."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.errors import InputError
from vda.joining.align import ScaleShift
from vda.joining.joint import solve_joint
from vda.joining.overlaps import Kind, OverlapSample, OverlapSampler, agreement

HEIGHT, WIDTH = 90, 120


def scene(rng: np.random.Generator) -> np.ndarray:
    """A floor that comes nearer, and a few discs: values 0.1 to 1."""
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    depth = 0.1 + 0.5 * (row / HEIGHT) ** 2
    for _ in range(4):
        y, x, radius = rng.integers(0, HEIGHT), rng.integers(0, WIDTH), rng.integers(8, 25)
        depth = np.where((row - y) ** 2 + (column - x) ** 2 < radius**2, rng.uniform(0.2, 1), depth)
    return depth


class Distorted:
    """Pieces in a row, each with a scale and shift of its own, and what they share of a scene."""

    def __init__(self, pieces: int, kind: Kind, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.kind: Kind = kind
        self.scales = self.rng.uniform(0.5, 2, pieces)
        self.shifts = self.rng.uniform(0, 1, pieces) * (kind == "inverse_depth")

    def seen(self, piece: int, depth: np.ndarray, noise: float, holes: float) -> np.ndarray:
        noisy = depth + noise * self.rng.standard_normal(depth.shape)
        noisy[self.rng.random(depth.shape) < holes] = np.nan
        return (self.scales[piece] * noisy + self.shifts[piece]).astype(np.float32)

    def sample(
        self, first: int, frames: int, *, noise: float = 0.0, holes: float = 0.0, intruder: bool = False
    ) -> OverlapSample:
        """Sample the overlap of ``first`` and the next piece; an intruder covers a fifth of what that one sees."""
        sampler = OverlapSampler(first, first + 1, frames, kind=self.kind)
        depth = scene(self.rng)
        for frame in range(frames):
            depth = np.roll(depth, 2, axis=1)
            other = depth.copy()
            if intruder:
                other[20:65, 8 * frame : 8 * frame + 48] = 1.1
            sampler.add(self.seen(first, depth, noise, holes), self.seen(first + 1, other, noise, holes))
        return sampler.sample()

    def assert_one_map(self, solved: list[ScaleShift], within: float) -> None:
        """All pieces, aligned, are one and the same map of the scene: to ``within`` of its scale."""
        scales = np.array([fit.scale for fit in solved]) * self.scales
        shifts = np.array([fit.scale for fit in solved]) * self.shifts + [fit.shift for fit in solved]
        assert scales == pytest.approx(np.full(len(scales), np.exp(np.log(scales).mean())), rel=within)
        assert shifts == pytest.approx(np.full(len(shifts), shifts.mean()), abs=within * scales.mean())


@pytest.mark.parametrize("kind", ["inverse_depth", "depth"])
@pytest.mark.parametrize("pieces", [2, 5, 50])
def test_clean_depth_is_recovered_exactly(pieces: int, kind: Kind) -> None:
    distorted = Distorted(pieces, kind, seed=pieces)
    samples = [distorted.sample(first, frames=1) for first in range(pieces - 1)]
    distorted.assert_one_map(solve_joint(samples, pieces, kind=kind), within=1e-5)


@pytest.mark.parametrize("kind", ["inverse_depth", "depth"])
@pytest.mark.parametrize("pieces", [5, 50])
def test_noise_holes_and_an_intruder_move_it_by_less_than_two_percent(pieces: int, kind: Kind) -> None:
    distorted = Distorted(pieces, kind, seed=pieces)
    samples = [
        distorted.sample(first, frames=2, noise=0.02, holes=0.2, intruder=first == pieces // 2)
        for first in range(pieces - 1)
    ]
    distorted.assert_one_map(solve_joint(samples, pieces, kind=kind), within=0.02)


def test_a_long_noisy_chain_does_not_fade() -> None:
    """Plain least squares loses scale at every joint, for noise in what is fitted pulls the slope down."""
    distorted = Distorted(40, "inverse_depth", seed=1)
    samples = [distorted.sample(first, frames=1, noise=0.1) for first in range(39)]
    solved = solve_joint(samples, 40, kind="inverse_depth")
    scales = np.array([fit.scale for fit in solved]) * distorted.scales
    trend = np.polyfit(np.arange(40), np.log(scales), 1)[0]
    assert abs(trend) < 0.003


def test_links_across_the_chain_are_used() -> None:
    """Each piece shares a frame with the first, as windows share an anchor: the error does not add up."""
    rng = np.random.default_rng(4)
    depth = scene(rng)
    distorted = Distorted(12, "inverse_depth", seed=4)
    samples = [distorted.sample(first, frames=1, noise=0.1) for first in range(11)]
    for piece in range(2, 12):
        sampler = OverlapSampler(0, piece, 1, kind="inverse_depth")
        sampler.add(distorted.seen(0, depth, 0.02, 0), distorted.seen(piece, depth, 0.02, 0))
        samples.append(sampler.sample())
    distorted.assert_one_map(solve_joint(samples, 12, kind="inverse_depth"), within=0.02)


@settings(deadline=None, max_examples=20)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_the_solution_does_not_depend_on_the_units_of_a_piece(log_scale: float, log_unit: float) -> None:
    """A piece given in other units gets the scale that undoes them."""
    raw = np.random.default_rng(0).random((1, 40, 50)).astype(np.float32)
    sampler = OverlapSampler(0, 1, 1, kind="inverse_depth")
    unit = np.float32(10**log_unit)
    sampler.add(raw[0] * unit, (raw[0] * np.float32(10**log_scale) + 2) * unit)
    first, second = solve_joint([sampler.sample()], 2, kind="inverse_depth")
    assert first.scale / second.scale == pytest.approx(10**log_scale, rel=1e-3)
    assert first.scale * second.scale == pytest.approx(1)


def test_the_scene_as_a_whole_stays_where_it_was() -> None:
    """Mean log scale 0, mean value unchanged, and nothing sampled pushed below 0."""
    distorted = Distorted(8, "inverse_depth", seed=3)
    samples = [distorted.sample(first, frames=1, noise=0.01) for first in range(7)]
    solved = solve_joint(samples, 8, kind="inverse_depth")
    assert np.mean([np.log(fit.scale) for fit in solved]) == pytest.approx(0, abs=1e-9)
    raw = np.concatenate([np.concatenate([s.first_values, s.second_values]) for s in samples])
    aligned = np.concatenate(
        [
            solved[piece].scale * values + solved[piece].shift
            for sample in samples
            for piece, values in ((sample.first, sample.first_values), (sample.second, sample.second_values))
        ]
    )
    assert aligned.min() >= -1e-12
    assert aligned.mean() == pytest.approx(raw.mean(), abs=1e-9) or aligned.min() == pytest.approx(0, abs=1e-9)


def test_metric_depth_is_only_scaled() -> None:
    distorted = Distorted(4, "depth", seed=5)
    samples = [distorted.sample(first, frames=1) for first in range(3)]
    assert [fit.shift for fit in solve_joint(samples, 4, kind="depth")] == [0, 0, 0, 0]


def test_pieces_that_do_not_overlap_are_left_as_they_are() -> None:
    """A hard cut after piece 1: each side is aligned in itself, and piece 4 with nothing."""
    distorted = Distorted(5, "inverse_depth", seed=6)
    solved = solve_joint([distorted.sample(first, frames=1) for first in (0, 2)], 5, kind="inverse_depth")
    assert solved[0].scale * solved[1].scale == pytest.approx(1)
    assert solved[2].scale * solved[3].scale == pytest.approx(1)
    assert solved[4] == ScaleShift(1, 0)
    assert solve_joint([], 2, kind="depth") == [ScaleShift(1, 0)] * 2


@pytest.mark.parametrize("kind", ["inverse_depth", "depth"])
def test_constant_depth_says_nothing_about_the_scale(kind: Kind) -> None:
    sampler = OverlapSampler(0, 1, 1, kind=kind)
    sampler.add(np.full((20, 30), 2, np.float32), np.full((20, 30), 2, np.float32))
    for fit in solve_joint([sampler.sample()], 2, kind=kind):
        assert (fit.scale, fit.shift) == pytest.approx((1, 0), abs=1e-6)


def test_depth_upside_down_is_reported_and_its_scale_stays_positive() -> None:
    depth = scene(np.random.default_rng(7)).astype(np.float32)
    sampler = OverlapSampler(0, 1, 1, kind="inverse_depth")
    sampler.add(depth, 2 - depth)
    sample = sampler.sample()
    assert agreement(sample.first_values, sample.second_values) == -1
    assert all(fit.scale > 0 for fit in solve_joint([sample], 2, kind="inverse_depth"))


def test_a_sample_is_bounded_seeded_and_only_of_usable_pixels() -> None:
    first, second = (np.random.default_rng(seed).random((3, 200, 300), np.float32) for seed in (0, 1))
    first[:, :50], second[:, :, :50] = np.nan, np.inf
    valid = np.ones((200, 300), bool)
    valid[150:] = False

    def draw(seed: int) -> OverlapSample:
        sampler = OverlapSampler(3, 4, 3, kind="inverse_depth", seed=seed)
        for frame in range(3):
            sampler.add(first[frame], second[frame], valid)
        return sampler.sample()

    sample, again, other = draw(0), draw(0), draw(1)
    assert len(sample.first_values) == len(sample.second_values) == 20_000
    assert np.isfinite(sample.first_values).all() and np.isfinite(sample.second_values).all()
    assert set(sample.first_values.tolist()) <= set(first[:, 50:150, 50:].ravel().tolist())
    assert (sample.first_values == again.first_values).all()
    assert (sample.first_values != other.first_values).any()


def test_metric_depth_of_nought_is_not_sampled() -> None:
    first, second = np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)
    first[0] = 3
    sampler = OverlapSampler(0, 1, 1, kind="depth")
    sampler.add(first, second)
    assert sampler.sample().first_values.tolist() == [3, 3]


def test_near_and_far_are_sampled_alike() -> None:
    """An object on four percent of the picture is a far larger part of the sample."""
    depth = np.random.default_rng(0).uniform(0.1, 0.2, (400, 500)).astype(np.float32)
    depth[100:180, 100:200] += 0.8
    sampler = OverlapSampler(0, 1, 1, kind="inverse_depth", limit=2000)
    sampler.add(depth, depth)
    assert np.mean(sampler.sample().first_values > 0.5) > 0.3


def test_one_shared_frame_of_a_few_pixels_is_enough() -> None:
    sampler = OverlapSampler(0, 1, 1, kind="inverse_depth")
    sampler.add(np.array([[1, 2, 4]], np.float32), np.array([[3, 5, 9]], np.float32))
    first, second = solve_joint([sampler.sample()], 2, kind="inverse_depth")
    assert first.scale / second.scale == pytest.approx(2)
    assert (first.shift - second.shift) / second.scale == pytest.approx(1)


@pytest.mark.parametrize("value", [1e38, -1e30, 1e20])
def test_a_value_that_is_no_depth_leaves_no_scale(value: float) -> None:
    """A few bytes of a damaged file: beside it all else is one and the same, and the scale was not a number."""
    depth = np.linspace(1, 5, 100)
    other = np.append(depth[:-1], value)
    with pytest.raises(InputError, match="scale"):
        solve_joint([OverlapSample(0, 1, depth, other)], 2, kind="inverse_depth")
