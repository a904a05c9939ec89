"""What a real camera does to a picture: blur, vignetting, wrong exposure and colours, noise, compression.

A linear-light image goes in, an 8-bit sRGB-like one comes out. All randomness comes from a seed and the frame
index. This file does not know the world.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Sins:
    """How bad the camera is; the defaults are a perfect one."""

    exposure: float = 1.0
    exposure_swing: float = 0.0
    swing_hz: float = 0.2
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 2.2
    contrast: float = 0.0
    vignette: float = 0.0
    blur_px: float = 0.0
    shutter_s: float = 0.0
    noise: float = 0.0
    quality: int = 0  # JPEG's 1 to 100; 0 leaves the frame uncompressed


def sample_sins(rng: Generator) -> Sins:
    """A random camera: mostly a decent one, sometimes a poor one."""
    red, green, blue = (float(gain) for gain in np.exp(rng.normal(0, 0.06, 3)))
    return Sins(
        exposure=float(np.exp(rng.normal(0, 0.25))),
        exposure_swing=float(rng.choice([0.0, 0.0, rng.uniform(0.05, 0.4)])),
        swing_hz=float(rng.uniform(0.05, 0.6)),
        white_balance=(red, green, blue),
        gamma=float(rng.uniform(1.9, 2.6)),
        contrast=float(rng.uniform(-0.2, 0.6)),
        vignette=float(rng.choice([0.0, rng.uniform(0, 0.6)])),
        blur_px=float(rng.choice([0.4, rng.uniform(0.3, 0.8), rng.uniform(0.5, 1.4)])),
        shutter_s=float(rng.choice([0.0, rng.uniform(0.002, 0.02)])),
        noise=float(rng.choice([0.003, rng.uniform(0, 0.015), rng.uniform(0, 0.04)])),
        quality=int(rng.choice([0, int(rng.integers(60, 96)), int(rng.integers(25, 70))])),
    )


def develop(
    linear: Picture, sins: Sins, seed: int, frame: int, time_s: float, flow_px: tuple[float, float]
) -> NDArray[np.uint8]:
    """The picture such a camera takes, uint8 [H, W, 3].

    ``linear`` float32 [H, W, 3] is light; ``flow_px`` is how far the picture moves per second, in pixels, for the
    shutter to smear.
    """
    swing = 1 + sins.exposure_swing * np.sin(2 * np.pi * sins.swing_hz * time_s)
    image = linear * np.array(sins.white_balance, np.float32) * np.float32(sins.exposure * swing)
    image = _smear(image, flow_px[0] * sins.shutter_s, flow_px[1] * sins.shutter_s)
    if sins.blur_px:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sins.blur_px))
    if sins.vignette:
        image *= _vignette(image.shape[0], image.shape[1], sins.vignette)[..., None]
    image = _tone(image, sins)
    if sins.noise:
        rng = np.random.default_rng([seed, frame])
        image += rng.standard_normal(image.shape, np.float32) * np.float32(sins.noise)
    picture = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return _compress(picture, sins.quality) if sins.quality else picture


def _smear(image: Picture, dx: float, dy: float) -> Picture:
    length = float(np.hypot(dx, dy))
    if length < 1:
        return image
    reach = min(int(np.ceil(length / 2)), 12)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    scale = min(1.0, 24 / length) / 2
    a, b = ((reach + s * scale * dx, reach + s * scale * dy) for s in (-1, 1))
    cv2.line(kernel, tuple(map(round, a)), tuple(map(round, b)), 1.0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def _vignette(height: int, width: int, strength: float) -> Picture:
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    return 1 - np.float32(strength) * (x[None] ** 2 + y[:, None] ** 2) / 2


def _tone(image: Picture, sins: Sins) -> Picture:
    """A film-like shoulder, then gamma, then an S-shaped curve."""
    bright = np.float32(1.25) * (1 - np.exp(np.float32(-1.3) * np.maximum(image, 0)))
    tone = np.minimum(bright, 1) ** np.float32(1 / sins.gamma)
    return tone + np.float32(sins.contrast) * (tone * tone * (3 - 2 * tone) - tone)


def _compress(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
