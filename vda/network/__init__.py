"""The network: tensors in, tensors out."""

from vda.network.head import FrameFeatures
from vda.network.model import PRESETS, Preset, VideoDepthModel, build_model
from vda.network.preprocess import net_size, to_network

__all__ = ["PRESETS", "FrameFeatures", "Preset", "VideoDepthModel", "build_model", "net_size", "to_network"]
