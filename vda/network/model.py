"""The whole network: normalised images in, raw depth out.

In: float32 images ``[frames, 3, height, width]`` as :mod:`vda.network.preprocess` makes them. Out: float32 raw
depth of the same height and width; inverse depth up to scale and shift, or metres if the preset is metric. This
file knows neither videos nor where weights come from: :func:`build_model` returns random ones.

Source: Chen et al., Video Depth Anything (arXiv 2501.12375).
"""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vda.network.convnet import ConvEncoder
from vda.network.encoder import VisionTransformer
from vda.network.head import DepthHead, FrameFeatures
from vda.network.presets import PRESETS, Preset


class VideoDepthModel(nn.Module):
    """Video Depth Anything, cut where the work on single frames ends.

    ``decode(encode(images))`` is the network. Parameters carry the published checkpoints' names, so those load
    with ``strict=True``.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        encoder = build_encoder(preset.encoder)
        self.pretrained = encoder
        self.head = DepthHead(
            encoder.widths,
            preset.features,
            preset.out_channels,
            preset.patch,
            pyramid=preset.encoder == "conv",
        )

    @property
    def device(self) -> torch.device:
        return self.head.scratch.output_conv1.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision that everything but the last convolutions runs in."""
        return self.head.scratch.output_conv1.weight.dtype

    def set_precision(self, dtype: torch.dtype) -> Self:
        """Run in ``dtype`` from now on (in place), except ``output_conv2``, which stays in float32.

        Weights are rounded, not autocast: half the memory, and no cast at every call. Inputs and outputs stay
        float32, kept features are in ``dtype``.
        """
        last = self.head.scratch.output_conv2
        exact = {name: tensor.detach().float().clone() for name, tensor in last.state_dict().items()}
        self.to(dtype)
        last.float().load_state_dict(exact)
        return self

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return the features of float32 ``images`` ``[frames, 3, height, width]``, each a function of its frame.

        Nothing a frame gets depends on the call's others. Raises ValueError unless height and width are multiples
        of the preset's patch.
        """
        if any(side % self.preset.patch for side in images.shape[-2:]):
            raise ValueError(
                f"images {tuple(images.shape)} are not in whole patches of {self.preset.patch} pixels"
            )
        return self.head.per_frame(self.pretrained(images.to(self.device, self.dtype)))

    def decode(self, features: FrameFeatures, *, micro_batch: int = 32) -> Tensor:
        """Return the raw depth ``[slots, height, width]``, float32, of a window of at most 32 slots.

        ``features`` may lie on another device than the model (kept on the host, say). ``micro_batch`` bounds the
        memory; it changes the numbers by rounding only.
        """
        return self.head.window(features, micro_batch)

    def forward(self, images: Tensor) -> Tensor:
        """Return raw depth ``[clips, slots, height, width]`` of images ``[clips, slots, 3, height, width]``."""
        return torch.stack([self.decode(self.encode(clip)) for clip in images])


def build_model(name: str) -> VideoDepthModel:
    """Return the model of the preset called ``name`` with random weights, in eval mode, float32, on the CPU.

    Raises KeyError for a name that is not in :data:`PRESETS`.
    """
    return VideoDepthModel(PRESETS[name]).eval()


def empty_model(name: str) -> VideoDepthModel:
    """Return what ``build_model`` does, but with weights that nobody has written yet: to be loaded into."""
    with _Unfilled():
        return build_model(name)


class _Unfilled(TorchFunctionMode):
    """Leaves out what only fills parameters with random numbers: of the large model that takes 2.5 s.

    The meta device would do without memory as well, but takes 0.8 s for the small one.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def build_encoder(architecture: str) -> VisionTransformer | ConvEncoder:
    """Return an encoder with random weights: images in, four maps out, their channels in ``widths``."""
    if architecture == "conv":
        return ConvEncoder()
    dim, heads, blocks, taps = {
        "vits": (384, 6, 12, (2, 5, 8, 11)),
        "vitb": (768, 12, 12, (2, 5, 8, 11)),
        "vitl": (1024, 16, 24, (4, 11, 17, 23)),
    }[architecture]
    return VisionTransformer(dim, heads, blocks, taps)
