"""Making rendered frames look like anybody's camera: crops, flips, colours, softness, sharpening, grain, JPEG.

In go one clip's frames ``[T, 3, H, W]`` (float32 RGB, 0 to 1) and inverse depth ``[T, H, W]``; out come the same
at the batch's size. Every choice is drawn from the generator that is handed in and holds for the whole clip,
except the grain, which is new in every frame. This file does not know where clips come from.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vda.training.recipe import Size

# Brightness by BT.601, and ImageNet's statistics as in network/preprocess.
_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def augment(
    rgb: Tensor, inverse_depth: Tensor, size: Size, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return network input ``[T, 3, h, w]`` (normalised) and inverse depth ``[T, h, w]`` for one clip."""
    top, left, height, width = _crop_box(rgb.shape[-2:], size, generator)
    box = (..., slice(top, top + height), slice(left, left + width))
    smooth = bool(generator.random() < 0.7)
    images = F.interpolate(rgb[box], size, mode="bilinear", align_corners=False, antialias=smooth)
    # Nearest, because a depth half way between an edge's two sides is nowhere in the world.
    depths = F.interpolate(inverse_depth[box][None], size, mode="nearest-exact")[0]
    if generator.random() < 0.5:
        images, depths = images.flip(-1), depths.flip(-1)
    images = _sharpen(_soften(_recolour(images, generator), generator), generator)
    images = _compress(_grain(images, generator).clamp(0, 1), generator)
    return (images - _MEAN) / _STD, depths


def _crop_box(
    source: tuple[int, int] | torch.Size, size: Size, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """A window of about the batch's aspect ratio, from half of the frame's side to all of it."""
    rows, columns = source
    aspect = size[1] / size[0] * float(np.exp(generator.uniform(-0.2, 0.2)))
    height_limit = min(rows, columns / aspect)
    height = height_limit * min(generator.uniform(0.55, 1.15), 1.0)
    h, w = round(height), min(round(height * aspect), columns)
    top, left = int(generator.integers(rows - h + 1)), int(generator.integers(columns - w + 1))
    return top, left, h, w


def _recolour(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Exposure, gamma, contrast, saturation and white balance; now and then no colour at all."""
    # Renders have less contrast and colour than photographs (measured in docs/mini.md).
    usual = np.array([0.0, 0.0, 0.25, 0.1])
    gain, gamma, contrast, saturation = np.exp(generator.normal(usual, (0.2, 0.2, 0.25, 0.4))).tolist()
    if generator.random() < 0.12:
        saturation = 0.0
    balance = torch.from_numpy(np.exp(generator.normal(0, 0.1, 3))).float().view(1, 3, 1, 1)
    images = (images * gain * balance).clamp(1e-4, 1) ** gamma
    gray = (images * _LUMA).sum(1, keepdim=True)
    images = gray + saturation * (images - gray)
    middle = images.mean()
    return middle + contrast * (images - middle)


def _soften(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Now and then what a cheap lens or a strong compression leaves: detail below some size is gone."""
    if generator.random() > 0.3:
        return images
    size = images.shape[-2:]
    factor = generator.uniform(0.4, 0.9)
    small = [max(8, round(side * factor)) for side in size]
    shrunk = F.interpolate(images, small, mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(shrunk, size, mode="bilinear", align_corners=False)


def _sharpen(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Unsharp masking, as most cameras do it: what the finest octave has is made stronger."""
    if generator.random() > 0.6:
        return images
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return images + generator.uniform(0, 1.5) * (images - blurred)


def _compress(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Now and then the blocks of a strong JPEG compression."""
    if generator.random() > 0.3:
        return images
    quality = int(generator.integers(20, 80))
    return torch.stack([_through_jpeg(image, quality) for image in images])


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    picture = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    _, coded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return torch.from_numpy(decoded).permute(2, 0, 1).float() / 255


def _grain(images: Tensor, generator: np.random.Generator) -> Tensor:
    strength = generator.uniform(0, 0.05) if generator.random() < 0.5 else 0.005
    noise = generator.standard_normal(tuple(images.shape), dtype=np.float32)
    return images + strength * torch.from_numpy(noise)
