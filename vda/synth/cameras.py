"""How a camera moves: a time goes in, a position and an orientation come out.

World and camera axes are x right, y down, z forward, so a camera at rest looks along z with the identity as its
rotation. Yaw turns to the right, pitch upwards, roll clockwise as seen from behind. This file does not know what
the camera looks at.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """World from camera, float64 [3, 3]; radians. Columns are the camera's right, down and forward."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    tilt = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return turn @ tilt @ lean


def heading(direction: Array) -> tuple[float, float]:
    """Yaw and pitch, in radians, of a camera that looks along ``direction`` [3]."""
    x, y, z = direction
    return float(np.arctan2(x, z)), float(np.arctan2(-y, np.hypot(x, z)))


@dataclass(frozen=True)
class Sway:
    """A sum of sines in any number of dimensions: shaking hands, steps, wandering gazes."""

    amplitude: Array  # [terms, dimensions]
    frequency_hz: Array  # [terms]
    phase: Array  # [terms, dimensions]

    def __call__(self, time_s: float) -> Array:
        angle = 2 * np.pi * self.frequency_hz[:, None] * time_s + self.phase
        return (self.amplitude * np.sin(angle)).sum(axis=0)

    @classmethod
    def sample(cls, rng: Generator, scale: Array, low_hz: float, high_hz: float, terms: int = 5) -> "Sway":
        """Random sines whose amplitude falls with frequency; ``scale`` [dimensions] is the rough total size."""
        frequency = np.sort(rng.uniform(low_hz, high_hz, terms))
        falling = (low_hz / frequency)[:, None] ** 0.8
        amplitude = falling * rng.uniform(0.3, 1, (terms, len(scale))) * scale / np.sqrt(terms)
        return cls(amplitude, frequency, rng.uniform(0, 2 * np.pi, (terms, len(scale))))


def still(dimensions: int) -> Sway:
    return Sway(np.zeros((1, dimensions)), np.ones(1), np.zeros((1, dimensions)))


@dataclass(frozen=True)
class CameraPath:
    """Where the camera is and which way it looks at any time.

    The place is ``start`` plus a back-and-forth of ``reach`` metres around it along ``direction`` at ``speed``,
    turned around ``target`` at ``orbit_rate``. With ``follow`` it looks at the target, otherwise along
    ``angles`` (yaw, pitch, roll) changing by ``rates``; ``sway`` (x, y, z, yaw, pitch, roll) comes on top.
    """

    start: Array
    angles: Array
    direction: Array = field(default_factory=lambda: np.zeros(3))
    speed: float = 0.0
    reach: float = 1.0
    phase: float = 0.0
    rates: Array = field(default_factory=lambda: np.zeros(3))
    pan_limit: float = np.pi
    target: Array = field(default_factory=lambda: np.zeros(3))
    follow: bool = False
    orbit_rate: float = 0.0
    sway: Sway = field(default_factory=lambda: still(6))

    def position(self, time_s: float) -> Array:
        """World coordinates in metres, float64 [3]."""
        travelled = np.sin(self.speed / self.reach * time_s + self.phase) - np.sin(self.phase)
        # A sine, not a line: however long the clip, the camera stays where it was found to have room.
        place = self.start + self.direction * self.reach * travelled
        if self.orbit_rate:
            place = self.target + rotation(self.orbit_rate * time_s) @ (place - self.target)
        return place + self.sway(time_s)[:3]

    def camera_to_world(self, time_s: float) -> Array:
        """Pose, float64 [4, 4]: camera coordinates (x right, y down, z forward) to world coordinates."""
        place, sway = self.position(time_s), self.sway(time_s)[3:]
        # Pans swing back and forth, so that a long clip does not end up looking out of its world.
        angles = self.angles + self.pan_limit * np.sin(self.rates * time_s / self.pan_limit)
        if self.follow:
            yaw, pitch = heading(self.target - place)
            angles = np.array([yaw, pitch, angles[2]])
        pose = np.eye(4)
        pose[:3, :3] = rotation(*(angles + sway))
        pose[:3, 3] = place
        return pose


def hand_shake(rng: Generator, strength: float) -> Sway:
    """A hand-held camera's sway; strength 1 is about 1.5 cm and 1 degree."""
    scale = np.array([0.015, 0.015, 0.015, 0.02, 0.02, 0.01]) * strength
    return Sway.sample(rng, scale, 0.4, 4.0)


def steps(rng: Generator, strength: float) -> Sway:
    """A walker's sway: up and down at the step's frequency, sideways at half of it, and a wandering gaze."""
    pace = rng.uniform(1.6, 2.1)
    amplitude = np.zeros((3, 6))
    amplitude[0, 1] = 0.025
    amplitude[1, [0, 5]] = 0.02, 0.008
    amplitude[2, 3:5] = rng.uniform(0.02, 0.15), rng.uniform(0.01, 0.06)
    frequency = np.array([pace, pace / 2, rng.uniform(0.08, 0.3)])
    return Sway(amplitude * strength, frequency, rng.uniform(0, 2 * np.pi, (3, 6)))
