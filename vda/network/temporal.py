"""The temporal module: what lets the frames of a window see each other.

In and out: maps ``[frames, channels, rows, columns]`` of one window, the same shape. Attention runs along time
only, each position of the map by itself, so a map may be computed in slices of positions. This file does not know
where in the network the module sits. Parameter names are those of the published checkpoints
(prefix ``head.motion_modules.N.``).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vda.network.slots import WINDOW_SLOTS

# The published network's; no weight's shape tells it.
HEADS = 8

# Attention has a block for each head of each position, and a dimension of CUDA's grid no more than this.
_LARGEST_GRID = 65_535
MOST_POSITIONS = _LARGEST_GRID // HEADS


def sinusoidal_table(slots: int, channels: int) -> Tensor:
    """Return ``[1, slots, channels]``: sine on even channels, cosine on odd, base 10000 (Vaswani et al. 2017)."""
    slot = torch.arange(slots).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    table = torch.zeros(1, slots, channels)
    table[0, :, 0::2] = torch.sin(slot * frequency)
    table[0, :, 1::2] = torch.cos(slot * frequency)
    return table


class SlotPositions(nn.Module):
    """Holds the position table under the name that the checkpoints give it."""

    pe: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoidal_table(WINDOW_SLOTS, channels))


class TemporalAttention(nn.Module):
    """Self-attention over the slots of ``[positions, slots, channels]``; the values carry the slot's place too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.pos_encoder = SlotPositions(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.pos_encoder.pe[:, : tokens.shape[1]]
        query, key, value = (
            project(tokens).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class GatedProjection(nn.Module):
    """GEGLU: one half times the exact GELU of the other (Shazeer 2020)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, tokens: Tensor) -> Tensor:
        content, gate = self.proj(tokens).chunk(2, dim=-1)
        return content * F.gelu(gate)


class GatedFeedForward(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        # The identity stands for the dropout that gave the second linear layer the name ``net.2``.
        self.net = nn.Sequential(
            GatedProjection(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(tokens)


class TemporalBlock(nn.Module):
    """Twice attention, then feed-forward, each with its LayerNorm before and its input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(channels) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.ff = GatedFeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            tokens = tokens + attention(norm(tokens))
        return tokens + self.ff(self.ff_norm(tokens))


class TemporalTransformer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, maps: Tensor, positions: int) -> Tensor:
        rows, columns = maps.shape[-2:]
        residual = positions_first(maps)
        normed = positions_first(self.norm(maps))
        slices = [
            (self._mix(tokens) + before).transpose(0, 1)
            for tokens, before in zip(normed.split(positions), residual.split(positions), strict=True)
        ]
        # Joined with the channels last in memory, as the convolutions that follow want them.
        return torch.cat(slices, dim=1).unflatten(1, (rows, columns)).permute(0, 3, 1, 2)

    def _mix(self, tokens: Tensor) -> Tensor:
        # Contiguous, or else each linear layer that follows copies its input again.
        tokens = self.proj_in(tokens.contiguous())
        for block in self.transformer_blocks:
            tokens = block(tokens)
        return self.proj_out(tokens)


class TemporalModule(nn.Module):
    """GroupNorm per frame, a transformer along time at each position, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels)

    def forward(self, maps: Tensor, positions: int) -> Tensor:
        """Return maps of the shape of ``maps`` ``[slots, channels, rows, columns]``, slots at most 32.

        ``positions`` map positions are worked on at once: it bounds the memory and changes nothing but rounding.
        """
        return self.temporal_transformer(maps, positions)


def positions_first(maps: Tensor) -> Tensor:
    """View ``[slots, channels, rows, columns]`` as ``[rows * columns, slots, channels]``."""
    return maps.flatten(2).permute(2, 0, 1)
