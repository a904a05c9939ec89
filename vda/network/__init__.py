"""The network: tensors in, tensors out.

    slots       how many frames the network sees at once
    presets     the models of the family: names, widths, sizes
    preprocess  from a frame to the network's input: sizes and pixels
    ondevice    the same pixels, made where the network is
    encoder     the DINOv2 vision transformer
    convnet     the built-in model's encoder
    temporal    what lets the frames of a window see each other
    head        the dense prediction head: four maps per frame in, depth out
    model       the whole network
    packing     from the network's output to few bytes, and back

Nothing here knows files, videos or devices. torch is loaded when a name is asked for, not before: those who plan
windows need ``slots`` alone.
"""

from typing import TYPE_CHECKING

__all__ = ["PRESETS", "FrameFeatures", "Preset", "VideoDepthModel", "build_model", "net_size", "to_network"]

if TYPE_CHECKING:
    from vda.network.head import FrameFeatures
    from vda.network.model import VideoDepthModel, build_model
    from vda.network.preprocess import net_size, to_network
    from vda.network.presets import PRESETS, Preset
else:
    _HOMES = {
        "FrameFeatures": "head",
        **dict.fromkeys(("PRESETS", "Preset"), "presets"),
        **dict.fromkeys(("VideoDepthModel", "build_model"), "model"),
        **dict.fromkeys(("net_size", "to_network"), "preprocess"),
    }

    def __getattr__(name: str) -> object:
        """Load a name when it is used (PEP 562)."""
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
