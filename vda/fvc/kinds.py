"""The ten kinds of augmentation: what is drawn once for a video, and done to each of its frames.

In: a kind's name, a picture's size, numbers that it follows from. Out: an ``Alteration``: a map of pixels, or
changes of colour, or both. Colours are kornia's; depth never sees them. This file does not know videos.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vda.camera.conventions import middle
from vda.errors import UsageError
from vda.fvc.geometry import Size
from vda.fvc.warp import Warp

if TYPE_CHECKING:
    import torch

Change = Callable[["torch.Tensor", int], "torch.Tensor"]
"""RGB float32 [1, 3, height, width] from 0 to 1, and the frame, to the same."""

_Draw = Callable[[np.random.Generator, Size], "Alteration"]

_LEAST_ANGLE_DEG, _MOST_ANGLE_DEG = 2.0, 10.0
# Of the picture's shorter side: bends that are seen, and no folds, for displacements change by less than half a
# pixel per pixel.
_ELASTIC_SHARE, _ELASTIC_WIDTH = 0.04, 0.1
# Blur is for pictures as classifiers see them: sigma in pixels at this size of the shorter side.
_BLUR_SIDE = 256


@dataclass(frozen=True, eq=False)
class Alteration:
    """``warp`` None: pixels stay where they are. ``told`` is what was drawn, for the table."""

    warp: Warp | None = None
    changes: tuple[Change, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)

    def picture(self, rgb: np.ndarray, frame: int) -> np.ndarray:
        """RGB uint8 [height, width, 3] to the same; ``frame`` only tells the noise of frames apart."""
        import torch

        if self.warp is not None:
            rgb = self.warp.picture(rgb.astype(np.float32))
        if self.changes:
            levels = torch.from_numpy(np.ascontiguousarray(rgb, np.float32)).permute(2, 0, 1)[None] / 255
            for change in self.changes:
                levels = change(levels, frame)
            rgb = levels[0].permute(1, 2, 0).numpy() * np.float32(255)
        return np.rint(rgb).clip(0, 255).astype(np.uint8)

    def __add__(self, other: "Alteration") -> "Alteration":
        """Both: pixels are moved first; of two maps the second is done after the first."""
        warps = [each.warp for each in (self, other) if each.warp is not None]
        assert all(warp.displacement is None for warp in warps), "displacements do not add up"
        matrix = np.linalg.multi_dot([np.eye(3), *(warp.matrix for warp in reversed(warps)), np.eye(3)])
        warp = Warp(warps[0].size, matrix) if warps else None
        return Alteration(warp, (*self.changes, *other.changes), {**self.told, **other.told})


def alteration(kind: str, entropy: list[int], size: Size) -> Alteration:
    """What ``kind`` does to a video of ``size`` (width, height); it follows from these three."""
    require_kinds((kind,))
    return KINDS[kind](np.random.default_rng(entropy), size)


def require_kinds(kinds: tuple[str, ...]) -> None:
    """Raise ``UsageError`` where there are none, or one is not known."""
    if unknown := [kind for kind in kinds if kind not in KINDS] or not kinds:
        named = ", ".join(unknown) if isinstance(unknown, list) else "nothing"
        raise UsageError(f"There is no augmentation by {named}.", f"Choose of {', '.join(KINDS)}.")


def _about_centre(size: Size, linear: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> Warp:
    centre = middle(size)
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = centre - linear @ centre + shift
    return Warp(size, matrix)


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _rotation(rng: np.random.Generator, size: Size) -> Alteration:
    degrees = _sign(rng) * rng.uniform(_LEAST_ANGLE_DEG, _MOST_ANGLE_DEG)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    warp = _about_centre(size, np.array([[cosine, -sine], [sine, cosine]]))
    return Alteration(warp, told={"degrees_clockwise": round(degrees, 6)})


def _flip(rng: np.random.Generator, size: Size) -> Alteration:
    return Alteration(_about_centre(size, np.diag([-1.0, 1.0])), told={"flip": "left to right"})


def _affine(rng: np.random.Generator, size: Size) -> Alteration:
    larger, shear = rng.uniform(0.9, 1.1), np.tan(np.radians(rng.uniform(-5, 5)))
    shift = (float(rng.uniform(-0.05, 0.05) * size[0]), float(rng.uniform(-0.05, 0.05) * size[1]))
    warp = _about_centre(size, larger * np.array([[1.0, shear], [0.0, 1.0]]), shift)
    told = {
        "scale": round(larger, 6),
        "shear": round(float(shear), 6),
        "shift": [round(part, 3) for part in shift],
    }
    return Alteration(warp, told=told)


def _elastic(rng: np.random.Generator, size: Size) -> Alteration:
    import torch
    from kornia.filters import gaussian_blur2d

    side = min(size)
    sigma = max(1.0, _ELASTIC_WIDTH * side)
    noise = torch.from_numpy(rng.uniform(-1, 1, (1, 2, size[1], size[0])).astype(np.float32))
    # Reflected at the edges, so the kernel must be narrower than the picture.
    reach = min(2 * round(3 * sigma) + 1, 2 * (side // 2) - 1)
    smooth = gaussian_blur2d(noise, (reach, reach), (sigma, sigma))[0].permute(1, 2, 0).numpy()
    most = _ELASTIC_SHARE * side
    displacement = np.ascontiguousarray(smooth * np.float32(most / np.abs(smooth).max()))
    return Alteration(Warp(size, np.eye(3), displacement), told={"most_pixels": round(most, 3)})


def _brightness(rng: np.random.Generator, size: Size) -> Alteration:
    from kornia.enhance import adjust_brightness

    more = float(_sign(rng) * rng.uniform(0.05, 0.2))
    return Alteration(None, (lambda levels, _: adjust_brightness(levels, more),), {"brightness": round(more, 6)})


def _contrast(rng: np.random.Generator, size: Size) -> Alteration:
    """About mid grey, not about each frame's mean: that would make videos flicker."""
    from kornia.enhance import adjust_brightness, adjust_contrast

    factor = float(2 ** (_sign(rng) * rng.uniform(0.15, 0.5)))

    def change(levels: "torch.Tensor", frame: int) -> "torch.Tensor":
        changed: torch.Tensor = adjust_brightness(adjust_contrast(levels, factor, False), (1 - factor) / 2)
        return changed

    return Alteration(None, (change,), {"contrast": round(factor, 6)})


def _saturation(rng: np.random.Generator, size: Size) -> Alteration:
    from kornia.enhance import adjust_saturation_with_gray_subtraction as adjust

    factor = float(rng.choice([rng.uniform(0.3, 0.8), rng.uniform(1.25, 1.7)]))
    return Alteration(None, (lambda levels, _: adjust(levels, factor),), {"saturation": round(factor, 6)})


def _noise(rng: np.random.Generator, size: Size) -> Alteration:
    """Another one in each frame, as a sensor's is, that follows from the frame's number."""
    import torch

    deviation, seed = float(rng.uniform(4, 12) / 255), int(rng.integers(1 << 62))

    def change(levels: "torch.Tensor", frame: int) -> "torch.Tensor":
        noise = np.random.default_rng([seed, frame]).standard_normal(levels.shape, np.float32)
        return (levels + deviation * torch.from_numpy(noise)).clamp(0, 1)

    return Alteration(None, (change,), {"noise": round(deviation, 6)})


def _blur(rng: np.random.Generator, size: Size) -> Alteration:
    from kornia.filters import gaussian_blur2d

    sigma = float(rng.uniform(0.6, 2.0) * max(1.0, min(size) / _BLUR_SIDE))
    reach = min(2 * round(3 * sigma) + 1, 2 * (min(size) // 2) - 1)

    def change(levels: "torch.Tensor", frame: int) -> "torch.Tensor":
        blurred: torch.Tensor = gaussian_blur2d(levels, (reach, reach), (sigma, sigma))
        return blurred

    return Alteration(None, (change,), {"blur_sigma": round(sigma, 6)})


def _combination(rng: np.random.Generator, size: Size) -> Alteration:
    """A flip for every other one, one more map of pixels, and two changes of colour."""
    made = _flip(rng, size) if rng.random() < 0.5 else Alteration()
    made += (_rotation, _affine)[int(rng.integers(2))](rng, size)
    colours = (_brightness, _contrast, _saturation, _noise, _blur)
    for number in rng.choice(len(colours), 2, replace=False):
        made += colours[number](rng, size)
    return made


KINDS: Final[dict[str, _Draw]] = {
    "rotation": _rotation,
    "flip": _flip,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "noise": _noise,
    "blur": _blur,
    "affine": _affine,
    "elastic": _elastic,
    "combination": _combination,
}
