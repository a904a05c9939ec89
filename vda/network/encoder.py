"""The DINOv2 vision transformer: normalised images in, four maps out.

In: float images ``[frames, 3, height, width]`` whose sides are multiples of the patch. Out: the tokens of four
blocks as maps ``[frames, dim, rows, columns]``. Every frame is computed by itself. This file knows nothing of
videos, windows or depth. Parameter names are those of the published checkpoints (prefix ``pretrained.``).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Side of the patch grid that the position table was trained on: 518 pixels in patches of 14.
TRAINED_GRID = 37

# DINOv2 adds this to the grid before it divides; the published weights were used with it, so it stays.
INTERPOLATE_OFFSET = 0.1


class Attention(nn.Module):
    """Multi-head self-attention over the tokens ``[frames, tokens, dim]`` of each frame."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        frames, count, dim = tokens.shape
        qkv = self.qkv(tokens).view(frames, count, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(frames, count, dim))


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between them, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch; :class:`Block` applies it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))


class Block(nn.Module):
    """A pre-norm transformer block with layer scale."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim)
        self.ls2 = LayerScale(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        # addcmul scales and adds in one pass over memory.
        tokens = torch.addcmul(tokens, self.ls1.gamma, self.attn(self.norm1(tokens)))
        return torch.addcmul(tokens, self.ls2.gamma, self.mlp(self.norm2(tokens)))


class PatchEmbedding(nn.Module):
    """One token for each patch, row by row."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """DINOv2 without register tokens.

    ``widths`` are the channels of the four maps that :meth:`forward` returns, ``patch`` a cell's side in pixels.
    """

    def __init__(self, dim: int, heads: int, blocks: int, taps: Sequence[int], patch: int = 14) -> None:
        super().__init__()
        self.patch = patch
        self.taps = tuple(taps)
        self.widths: tuple[int, ...] = (dim,) * len(self.taps)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + TRAINED_GRID**2, dim))
        # Only DINOv2's own training masks tokens; the checkpoints hold the tensor all the same.
        self.mask_token = nn.Parameter(torch.zeros(1, dim))
        self.patch_embed = PatchEmbedding(dim, patch)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return four maps ``[frames, dim, height / patch, width / patch]``, from shallow to deep."""
        rows, columns = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        tokens = self._embed(images, rows, columns)
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.taps:
                patches = self.norm(tokens[:, 1:])
                maps.append(patches.unflatten(1, (rows, columns)).permute(0, 3, 1, 2))
        return maps

    def _embed(self, images: Tensor, rows: int, columns: int) -> Tensor:
        positions = self.positions(rows, columns)
        patches = self.patch_embed(images) + positions[:, 1:]
        first = (self.cls_token + positions[:, :1]).expand(len(images), -1, -1)
        return torch.cat([first, patches], dim=1)

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return the position table ``[1, 1 + rows * columns, dim]``, resized if the grid is not the trained one.

        Bicubic (a = -0.75); the source of i is ``(i + 0.5) / scale - 0.5`` with ``scale = (side + 0.1) / 37``.
        """
        # A trace would have them as tensors, which a scale cannot be.
        rows, columns = int(rows), int(columns)
        if (rows, columns) == (TRAINED_GRID, TRAINED_GRID):
            return self.pos_embed
        square = self.pos_embed[:, 1:].unflatten(1, (TRAINED_GRID, TRAINED_GRID)).permute(0, 3, 1, 2)
        scale = ((rows + INTERPOLATE_OFFSET) / TRAINED_GRID, (columns + INTERPOLATE_OFFSET) / TRAINED_GRID)
        # In float32 whatever the model's precision: it is small, and not every device resizes half precision.
        resized = F.interpolate(square.float(), scale_factor=scale, mode="bicubic", align_corners=False)
        patches = resized.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], patches], dim=1)
