"""The built-in model's encoder: a small convolutional network behind the big encoders' interface.

In go images ``[B, 3, H, W]`` (float, normalised, H and W multiples of 16); out come four maps at strides 4, 8, 16
and 32, that is at 4, 2, 1 and 1/2 (rounded up) times the grid of 16-pixel patches: what the depth head expects
after its resizing. This file does not know of frames, slots, the head or how the weights were learned.

Dense 3x3 convolutions, because at this size they learn faster and run faster on a CPU than depthwise ones or
attention over many tokens. Depth from one image needs the whole image, so the coarsest map ends in
self-attention over its few tokens, and the stem sees each pixel's place in the image.

Batch normalisation is there for training only: ``fold`` turns it into the convolutions' weights. What runs
afterwards holds no normalisation across frames, so a frame's maps never depend on its neighbours in a batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Four halvings lead to the map that stands where the transformers have their patches.
PATCH = 16
# Widths and depths of 4.9 million parameters: with the head 14.6 MB in float16, which fits into the package.
CHANNELS = (48, 96, 160, 224)
BLOCKS = (2, 2, 3, 2)
# Over the coarsest map alone, where attention costs little: 24 tokens for 192 x 112 pixels. 224 channels are seven
# heads of 32.
CONTEXT_LAYERS = 2
CONTEXT_HEADS = 7


class ConvUnit(nn.Module):
    """3x3 convolution and (in training) batch normalisation: ``[B, in, h, w]`` to ``[B, out, h/s, w/s]``."""

    def __init__(self, inputs: int, outputs: int, stride: int, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not normalised)
        self.norm: nn.Module = nn.BatchNorm2d(outputs) if normalised else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """Two convolution units around a shortcut; the shape stays."""

    def __init__(self, channels: int, normalised: bool) -> None:
        super().__init__()
        self.unit1 = ConvUnit(channels, channels, 1, normalised)
        self.unit2 = ConvUnit(channels, channels, 1, normalised)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.unit2(F.relu(self.unit1(x))))


class ContextLayer(nn.Module):
    """Pre-norm transformer layer over all places of one map ``[B, C, h, w]``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 2 * channels)
        self.shrink = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self._attend(self.norm1(tokens))
        tokens = tokens + self.shrink(F.gelu(self.expand(self.norm2(tokens))))
        return tokens.transpose(1, 2).reshape(x.shape)

    def _attend(self, tokens: Tensor) -> Tensor:
        batch, places, channels = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, places, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, places, channels))


class ConvEncoder(nn.Module):
    """Four maps from one image; ``normalised`` adds the batch normalisation that training needs.

    >>> [m.shape[-2:] for m in ConvEncoder()(torch.zeros(1, 3, 64, 96))]
    [torch.Size([16, 24]), torch.Size([8, 12]), torch.Size([4, 6]), torch.Size([2, 3])]
    """

    widths = CHANNELS

    def __init__(self, normalised: bool = False) -> None:
        super().__init__()
        self.stem1 = ConvUnit(5, 32, 2, normalised)
        self.stem2 = ConvUnit(32, 32, 1, normalised)
        inputs = (32, *CHANNELS[:-1])
        self.stages = nn.ModuleList(
            _stage(a, b, blocks, normalised) for a, b, blocks in zip(inputs, CHANNELS, BLOCKS, strict=True)
        )
        self.context = nn.Sequential(*(ContextLayer(CHANNELS[-1], CONTEXT_HEADS) for _ in range(CONTEXT_LAYERS)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """``[B, 3, H, W]`` to four maps ``[B, CHANNELS[i], ceil(H / 2^(i+2)), ceil(W / 2^(i+2))]``."""
        x = torch.cat([images, _places(images)], 1).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.stem2(F.relu(self.stem1(x))))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        maps[-1] = self.context(maps[-1])
        return maps


def fold(encoder: ConvEncoder) -> ConvEncoder:
    """Return the encoder that computes what ``encoder`` does in eval mode, without batch normalisation."""
    folded = ConvEncoder().eval()
    state = {name: value for name, value in encoder.state_dict().items() if name in folded.state_dict()}
    for name, unit in encoder.named_modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(unit.conv.eval(), unit.norm.eval())
            state |= {f"{name}.conv.{part}": value for part, value in fused.state_dict().items()}
    folded.load_state_dict(state)
    return folded


def _stage(inputs: int, outputs: int, blocks: int, normalised: bool) -> nn.Sequential:
    down = nn.Sequential(ConvUnit(inputs, outputs, 2, normalised), nn.ReLU())
    return nn.Sequential(down, *(ResidualBlock(outputs, normalised) for _ in range(blocks)))


def _places(images: Tensor) -> Tensor:
    """Each pixel's x and y from -1 to 1, ``[B, 2, H, W]``: zero padding alone tells a place too slowly."""
    batch, _, height, width = images.shape
    y = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype)
    x = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"))
    return grid.expand(batch, -1, -1, -1)
