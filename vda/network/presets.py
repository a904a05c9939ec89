"""The models of the family: their names, widths and sizes. Nothing is computed here, so PyTorch is not needed.

Source of the published models' widths: Chen et al., Video Depth Anything (arXiv 2501.12375).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True)
class Preset:
    """One model of the family.

    ``encoder`` names the encoder's architecture, ``features`` and ``out_channels`` are the head's widths; the
    network's height and width must be multiples of ``patch``; ``metric`` says whether the output is depth in
    metres (or else inverse depth without a unit); ``input_size`` is the default size of the shorter side.
    """

    name: str
    encoder: str
    features: int
    out_channels: tuple[int, int, int, int]
    patch: int = 14
    metric: bool = False
    input_size: int = 518


# The published models' widths. The built-in one is at its best at the size it was trained at (docs/decisions.md).
RELATIVE = (
    Preset("mini", "conv", 64, (48, 64, 128, 192), patch=16, input_size=112),
    Preset("vits", "vits", 64, (48, 96, 192, 384)),
    Preset("vitb", "vitb", 128, (96, 192, 384, 768)),
    Preset("vitl", "vitl", 256, (256, 512, 1024, 1024)),
)
METRIC = tuple(replace(preset, name=f"metric-{preset.name}", metric=True) for preset in RELATIVE[1:])
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in RELATIVE + METRIC})
