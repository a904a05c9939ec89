"""The network: tensors in, tensors out.

    preprocess  from a frame to the network's input: sizes and pixels
    encoder     the DINOv2 vision transformer
    convnet     the built-in model's encoder
    temporal    what lets the frames of a window see each other
    head        the dense prediction head: four maps per frame in, depth out
    model       the whole network and its presets

Nothing here knows files, videos or devices.
"""

from vda.network.head import FrameFeatures
from vda.network.model import PRESETS, Preset, VideoDepthModel, build_model
from vda.network.preprocess import net_size, to_network

__all__ = ["PRESETS", "FrameFeatures", "Preset", "VideoDepthModel", "build_model", "net_size", "to_network"]
