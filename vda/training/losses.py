"""What the built-in model is asked for: inverse depth that is right up to one scale and shift a clip.

In go predicted and true inverse depth ``[B, T, H, W]`` (float32; true 0 is the sky, infinitely far); out come
scalars. Clips are independent; the frames of a clip share their scale and shift. This file does not know of
scenes, windows or the network.

Errors are counted relative to the true value (plus ``FLOOR`` of the clip's mean): depth is judged by relative
error, and without this the far half of every outdoor world would weigh next to nothing. The sky is left out of
that, for relative to nothing every error is endless: there, only what stands above 0 counts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 0.15
# Beside errors that are relative. When those in the sky were relative as well, the loss was all about the sky.
SKY_IMPORTANCE = 1.0
# As in the paper's temporal loss (arXiv 2501.12375): where more changes, something moved.
STATIC_CHANGE = 0.05
# MiDaS's number.
GRADIENT_SCALES = 4
_DIMS = (1, 2, 3)


@dataclass(frozen=True)
class LossWeights:
    """How the parts add up; ``anchor`` asks for a mean of 1, so that outputs of all clips are alike in size."""

    anchor: float = 1.0
    gradient: float = 0.5
    temporal: float = 0.0


def total_loss(predicted: Tensor, truth: Tensor, weights: LossWeights) -> Tensor:
    """Return the scalar to minimise for ``[B, T, H, W]`` inverse depths; the prediction may be below 0."""
    target = unit_mean(truth)
    importance = importance_of(target)
    fitted = fit(predicted, target, importance)
    loss = weighted_error(fitted, target, importance)
    loss = loss + weights.anchor * weighted_error(predicted, target, importance)
    loss = loss + SKY_IMPORTANCE * torch.where(truth > 0, 0.0, predicted.clamp_min(0)).mean()
    loss = loss + weights.gradient * gradient_matching(fitted, target, importance)
    if weights.temporal and predicted.shape[1] > 2:
        loss = loss + weights.temporal * temporal_matching(fitted, target, importance)
    return loss


def unit_mean(truth: Tensor) -> Tensor:
    """Inverse depth divided by each clip's mean below the sky; a clip that is all sky stays zero."""
    seen = (truth > 0).sum(_DIMS, keepdim=True).clamp_min(1)
    return truth / (truth.sum(_DIMS, keepdim=True) / seen).clamp_min(1e-6)


def importance_of(target: Tensor) -> Tensor:
    """How much an error counts at each pixel of a ``unit_mean``; 0 in the sky."""
    return torch.where(target > 0, 1 / (target + FLOOR), 0.0)


def fit(predicted: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Apply to each clip the scale and shift that fit it best (weighted least squares, differentiable)."""
    weight = importance / importance.sum(_DIMS, keepdim=True).clamp_min(1e-6)
    mean_p = (weight * predicted).sum(_DIMS, keepdim=True)
    mean_t = (weight * target).sum(_DIMS, keepdim=True)
    centred = predicted - mean_p
    variance = (weight * centred.square()).sum(_DIMS, keepdim=True)
    covariance = (weight * centred * (target - mean_t)).sum(_DIMS, keepdim=True)
    # The floor holds the scale back while the output is still almost constant, when it would amplify noise.
    return covariance / (variance + 1e-3) * centred + mean_t


def weighted_error(predicted: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    return (importance * (predicted - target).abs()).mean()


def gradient_matching(fitted: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Mean absolute gradient of the error at ``GRADIENT_SCALES`` octaves (MiDaS, arXiv 1907.01341, eq. 11)."""
    error = importance * (fitted - target)
    total = error.new_zeros(())
    for scale in range(GRADIENT_SCALES):
        step = 2**scale
        at_scale = error[..., ::step, ::step]
        total = total + at_scale.diff(dim=-1).abs().mean() + at_scale.diff(dim=-2).abs().mean()
    return total / GRADIENT_SCALES


def temporal_matching(fitted: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Change from frame to frame against the true change, where the true one is small.

    Video Depth Anything's temporal gradient matching (arXiv 2501.12375, eq. 3): the same pixel of the next frame
    stands in for the same point, which holds where the truth hardly changes. Frames 0 and 1 are a window's
    anchors, far away in time, so counting begins at frame 2.
    """
    first = 2 if target.shape[1] >= 4 else 0
    change = target[:, first:].diff(dim=1)
    error = fitted[:, first:].diff(dim=1).abs() - change.abs()
    still = change.abs() < STATIC_CHANGE
    weight = torch.where(still, importance[:, first + 1 :], torch.zeros_like(change))
    return (weight * error.abs()).sum() / still.sum().clamp_min(1)
