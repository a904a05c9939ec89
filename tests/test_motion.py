"""Smoothing against worlds whose motion is known: cameras that shake, walk, drive and turn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from filterpy.common import Q_discrete_white_noise
from filterpy.kalman import KalmanFilter
from numpy.typing import NDArray

from vda.enriching.motion import MotionModel, OneAxis, Stretch, from_the_camera, in_the_world
from vda.synth.cameras import CameraPath, hand_shake, rotation, steps

Values = NDArray[np.float64]

FOCAL_PX, FPS, FRAMES = 800.0, 25.0, 150
ORIGIN = np.zeros(3)


def turned(degrees: float, hz: float) -> Callable[[float], Values]:
    """A camera that stays where it is and swings to both sides."""

    def pose(time_s: float) -> Values:
        matrix = np.eye(4)
        matrix[:3, :3] = rotation(np.radians(degrees) * np.sin(2 * np.pi * hz * time_s))
        return matrix

    return pose


def walking(seed: int) -> CameraPath:
    sway = steps(np.random.default_rng(seed), 1.0)
    return CameraPath(ORIGIN, ORIGIN, np.array([0.0, 0.0, 1.0]), 1.4, 50.0, sway=sway)


def still(x: float, y: float, z: float) -> Callable[[float], Values]:
    return lambda time_s: np.array([x, y, z])


@dataclass(frozen=True)
class Case:
    camera: Callable[[float], Values]
    thing: Callable[[float], Values]
    fps: float = FPS
    frames: int = FRAMES


CASES = {
    "shaken 3 degrees at 2 Hz": Case(turned(3, 2), still(0, 0, 10)),
    "shaken, seen at the side": Case(turned(3, 2), still(4, 1, 9)),
    "pan": Case(turned(30, 0.2), still(0, 0, 10)),
    "hand": Case(
        CameraPath(ORIGIN, ORIGIN, sway=hand_shake(np.random.default_rng(1), 2.0)).camera_to_world,
        still(0.5, 0, 3),
    ),
    "walk": Case(walking(2).camera_to_world, still(1, 0, 14)),
    "drive": Case(
        CameraPath(ORIGIN, ORIGIN, np.array([0.0, 0.0, 1.0]), 10.0, 1e6).camera_to_world, still(4, 1, 65)
    ),
    "truck": Case(
        CameraPath(np.array([-4.0, 0, 0]), ORIGIN, np.array([1.0, 0, 0]), 2.0, 1e6).camera_to_world,
        still(0, 0, 4),
        frames=90,
    ),
    "orbit": Case(
        CameraPath(np.array([0.0, 0, -8]), ORIGIN, target=np.array([1e-3, 0, 0]), follow=True, orbit_rate=0.8)
        .camera_to_world,
        still(1, 0, 1),
    ),
    "a person in circles": Case(
        lambda time_s: np.eye(4), lambda time_s: np.array([2 * np.sin(time_s), 0, 6 + 2 * np.cos(time_s)])
    ),
    "the same at 5 frames per second": Case(
        lambda time_s: np.eye(4),
        lambda time_s: np.array([2 * np.sin(time_s), 0, 6 + 2 * np.cos(time_s)]),
        5.0,
        60,
    ),
    "a car that passes": Case(
        lambda time_s: np.eye(4), lambda time_s: np.array([-20 + 15 * time_s, 0, 5.0]), frames=66
    ),
}  # fmt: skip


def seen(case: Case, noise: float, told: bool, seed: int = 3) -> tuple[Stretch, Values, Values]:
    """What a tracker and noisy depth say, the truth in the camera's coordinates, and the poses."""
    rng = np.random.default_rng(seed)
    times = np.arange(case.frames) / case.fps
    poses = np.stack([case.camera(float(time_s)) for time_s in times])
    truth = in_camera(poses, np.stack([case.thing(float(time_s)) for time_s in times]))
    depth = truth[:, 2] * rng.normal(1, noise, case.frames)
    pixels = truth[:, :2] / truth[:, 2:] + rng.normal(0, 0.5 / FOCAL_PX, (case.frames, 2))
    position = np.column_stack([pixels * depth[:, None], depth])
    return Stretch(position, noise * depth if told else 0 * depth, times, FOCAL_PX), truth, poses


def in_camera(poses: Values, world: Values) -> Values:
    return np.asarray(np.einsum("nji,nj->ni", poses[:, :3, :3], world - poses[:, :3, 3]))


def errors(position: Values, truth: Values) -> Values:
    return np.asarray(np.linalg.norm(position - truth, axis=1) / np.linalg.norm(truth, axis=1))


@pytest.mark.parametrize("told", [True, False], ids=["spread told", "spread not told"])
@pytest.mark.parametrize("noise", [0.05, 0.005])
@pytest.mark.parametrize("name", CASES)
def test_smoothed_is_nearer_the_truth_than_raw_in_every_motion(name: str, noise: float, told: bool) -> None:
    stretch, truth, poses = seen(CASES[name], noise, told)
    raw = errors(stretch.position, truth)
    from_camera = errors(from_the_camera(stretch, MotionModel())[0], truth)
    world = errors(in_camera(poses, in_the_world(stretch, poses, MotionModel())[0]), truth)
    for smoothed in (from_camera, world):
        assert smoothed.mean() < 0.8 * raw.mean()
        # Nowhere worse than what a single depth may be off by.
        assert smoothed.max() < 3 * noise


def test_a_shaking_camera_pulls_nothing_towards_itself() -> None:
    stretch, _, _ = seen(CASES["shaken 3 degrees at 2 Hz"], 0.05, told=True)
    smoothed, _ = from_the_camera(stretch, MotionModel())
    assert np.linalg.norm(smoothed, axis=1).mean() == pytest.approx(10, rel=0.01)


def test_in_the_world_a_still_thing_stands_still_under_a_moving_camera() -> None:
    for name in ("walk", "drive", "orbit", "pan"):
        stretch, _, poses = seen(CASES[name], 0.02, told=True)
        position, velocity = in_the_world(stretch, poses, MotionModel(acceleration=0.5))
        assert np.linalg.norm(velocity, axis=1).mean() < 0.3
        assert np.linalg.norm(position - CASES[name].thing(0), axis=1).mean() < 0.01 * stretch.range_m.max()


def test_a_gap_is_bridged_on_the_way_the_thing_went() -> None:
    stretch, truth, poses = seen(CASES["a car that passes"], 0.005, told=True)
    stretch.position[20:26], stretch.spread[20:26] = np.nan, np.nan
    for position in (
        from_the_camera(stretch, MotionModel())[0],
        in_camera(poses, in_the_world(stretch, poses, MotionModel())[0]),
    ):
        assert errors(position, truth)[20:26].max() < 0.02


def test_velocity_is_that_of_the_truth() -> None:
    stretch, _, poses = seen(CASES["a car that passes"], 0.01, told=True)
    for _, velocity in (from_the_camera(stretch, MotionModel()), in_the_world(stretch, poses, MotionModel())):
        assert velocity.mean(axis=0) == pytest.approx([15, 0, 0], abs=0.5)


def test_one_axis_is_smoothed_as_filterpy_does_it() -> None:
    """Uneven times, two of them equal, gaps, and noise and changes of their own in every row."""
    random = np.random.default_rng(3)
    times_s = np.cumsum(random.choice([0.0, 0.04, 0.08], 60))
    seen = np.sin(times_s) + random.normal(0, 0.05, 60)
    seen[[7, 20, 21, 22]] = np.nan
    noise, changes = random.uniform(0.001, 0.01, 60), random.uniform(0.5, 4, 60)
    steps = np.diff(times_s, prepend=times_s[0])
    transitions = [np.array([[1, step], [0, 1]]) for step in steps]
    drifts = [
        Q_discrete_white_noise(dim=2, dt=step, var=change) for step, change in zip(steps, changes, strict=True)
    ]
    kalman = KalmanFilter(dim_x=2, dim_z=1)
    kalman.H, kalman.x = np.array([[1.0, 0.0]]), np.array([seen[0], 0.0])
    kalman.P = np.diag([100 * noise[0], 3.0**2])
    rows = [None if np.isnan(value) else value for value in seen]
    means, spreads, _, _ = kalman.batch_filter(rows, Fs=transitions, Qs=drifts, Rs=list(noise))
    expected = kalman.rts_smoother(means, spreads, Fs=transitions, Qs=drifts)[0]
    assert np.abs(OneAxis(noise, changes, times_s, 3.0).smoothed(seen) - expected).max() < 1e-9
