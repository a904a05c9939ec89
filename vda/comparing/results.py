"""Two results of depth of one film, brought together: the frames that both have, in one quantity, at one size.

In: two places where depth is kept, as ``open_depth`` takes them, or scenes. Out: ``Together``, which reads both
results of a frame as arrays that can be held against each other. This file measures nothing.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import same_shape
from vda.depthmaps.codes import Kind
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError
from vda.scene.scene import Scene

Image = NDArray[np.float32]
Size = tuple[int, int]
Quantity = Kind


@dataclass(frozen=True)
class Result:
    """A result: the depth, whether it is inverse depth or metres, and the scene that it is of, if it is one's."""

    path: Path
    source: DepthSource
    kind: Kind
    scene: Scene | None

    @classmethod
    def open(cls, path: Path, scale: float | None, *, by_order: bool = False) -> "Result":
        """Open a scene, the folder that a merge wrote, or anything else that ``open_depth`` takes.

        Depth without a ``depth.json`` is inverse depth, or metric if ``scale`` (its numbers to the metre) is
        given.
        """
        scene = next((one for one in (Scene(path), Scene(path.parent)) if _is_of(path, one)), None)
        source = open_depth(scene.merged_dir if scene else path, scale=scale or 1, by_order=by_order)
        given: Kind = "depth" if scale else "inverse_depth"
        return cls(path, source, source.record.quantizer.kind if source.record else given, scene)

    @property
    def film(self) -> str | None:
        """What the scene's video is known again by; None for depth that is no scene's."""
        if self.scene is None or not self.scene.video_path.is_file():
            return None
        return str(self.scene.read_video()["sha256_head_tail"])

    @property
    def shot_starts(self) -> set[int]:
        """The frames at which a shot begins, with a scale of its own; one shot begins nowhere in particular."""
        shots = self.source.record.shots if self.source.record is not None else []
        return {int(shot["start_frame"]) for shot in shots}


def _is_of(path: Path, scene: Scene) -> bool:
    return scene.depth_record_path.is_file() and path.resolve() in (
        scene.root.resolve(),
        scene.merged_dir.resolve(),
    )


@dataclass(frozen=True)
class Together:
    """Both results of the frames that both have: ``pairs`` are their indices in A and in B.

    ``size`` is (width, height) of the smaller one, to which the other is brought. ``quantity`` is what is
    compared: metres where both are metric, else inverse depth. ``left_out`` are the frames that only A and only B
    have.
    """

    a: Result
    b: Result
    pairs: tuple[tuple[int, int], ...]
    matched_by: Literal["index", "order"]
    left_out: tuple[int, int]
    sizes: tuple[Size, Size]

    @classmethod
    def of(cls, a: Result, b: Result, *, by_order: bool = False) -> "Together":
        """Raise ``InputError`` where the two have no frame in common, or pictures of other shapes."""
        pairs = _by_order(a.source, b.source) if by_order else _by_index(a.source, b.source)
        sizes = _size(a.source.read(pairs[0][0])), _size(b.source.read(pairs[0][1]))
        if not same_shape(*sizes):
            (width, height), (other_width, other_height) = sizes
            raise InputError(
                f"Depth of {width} x {height} and depth of {other_width} x {other_height} are not of the same "
                "picture.",
                "Crop or turn one of them to the other first.",
            )
        left_out = len(a.source) - len(pairs), len(b.source) - len(pairs)
        return cls(a, b, tuple(pairs), "order" if by_order else "index", left_out, sizes)

    @property
    def quantity(self) -> Quantity:
        return "depth" if self.a.kind == self.b.kind == "depth" else "inverse_depth"

    @property
    def size(self) -> Size:
        return min(self.sizes, key=lambda size: size[0] * size[1])

    @property
    def are_of_two_files(self) -> bool:
        """Whether both are scenes, of two video files: two versions of a film, or two films."""
        films = self.a.film, self.b.film
        return None not in films and films[0] != films[1]

    @property
    def pixel_aspect(self) -> Fraction:
        """A pixel's width by its height, as either result says."""
        records = (self.b.source.record, self.a.source.record)
        return next((Fraction(record.pixel_aspect) for record in records if record is not None), Fraction(1))

    @property
    def shots(self) -> int:
        """How many parts of the film need a fit of their own: metres are not fitted at all."""
        return 1 if self.quantity == "depth" else len({self.shot(b) for _, b in self.pairs})

    def shot(self, frame: int) -> int:
        """The shot that a frame of B is in, counted over the cuts of both results."""
        return bisect_right(self._cuts, frame)

    @cached_property
    def _cuts(self) -> list[int]:
        if self.matched_by != "index":
            return sorted(self.b.shot_starts)
        return sorted(self.a.shot_starts | self.b.shot_starts)

    def read(self, place: int) -> tuple[Image, Image]:
        """Both results of the pair at ``place``, float32 [height, width] of ``size``, NaN where there is none."""
        frames = self.pairs[place]
        return self._made_alike(self.a, frames[0]), self._made_alike(self.b, frames[1])

    def _made_alike(self, result: Result, frame: int) -> Image:
        values = result.source.read(frame)
        if result.kind == "depth" and self.quantity == "inverse_depth":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, 1 / values, np.float32(np.nan))
        if self.quantity == "depth":
            values = np.where(values > 0, values, np.float32(np.nan))
        return resampled(values, self.size)

    def neighbours(self) -> list[tuple[int, int]]:
        """Places of pairs that follow each other in one shot, as far apart as most pairs are."""
        steps = [_usual_step([pair[side] for pair in self.pairs]) for side in (0, 1)]
        return [
            (place, place + 1)
            for place, (old, new) in enumerate(zip(self.pairs, self.pairs[1:], strict=False))
            if all(after - before == step for before, after, step in zip(old, new, steps, strict=True))
            and self.shot(old[1]) == self.shot(new[1])
        ]


def resampled(values: Image, size: Size) -> Image:
    """Bring an image to ``size`` (width, height): each pixel is the mean of the area it covers.

    Pixels are squares around their centres, so an image of half the size has its first centre between the first
    two of the larger (half-pixel centres). Enlarged, where a side rounds that way, it is bilinear by the same
    centres. What touches a pixel without depth has none.
    """
    if _size(values) == size:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _size(image: Image) -> Size:
    height, width = image.shape
    return width, height


def _usual_step(frames: Sequence[int]) -> int:
    """The usual distance of frames that follow each other: that of a thinned film is its stride."""
    gaps = np.diff(np.asarray(frames))
    return int(np.median(gaps)) if gaps.size else 1


def _by_index(a: DepthSource, b: DepthSource) -> list[tuple[int, int]]:
    common = sorted(set(a.frames) & set(b.frames))
    if not common:
        raise InputError(
            f"The two have no frame in common: {_run_of(a.frames)} of A, and {_run_of(b.frames)} of B.",
            "Give two results of one film, or --by-order if the first belongs to the first, and so on.",
        )
    return [(frame, frame) for frame in common]


def _by_order(a: DepthSource, b: DepthSource) -> list[tuple[int, int]]:
    if len(a) != len(b):
        raise InputError(
            f"There are {len(a)} frames of A and {len(b)} of B, which cannot be paired by order.",
            "Leave out --by-order, or make both of the same frames.",
        )
    return list(zip(a.frames, b.frames, strict=True))


def _run_of(frames: Sequence[int]) -> str:
    return f"{len(frames)} frames from {frames[0]} to {frames[-1]}"
