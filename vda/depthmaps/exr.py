"""Depth in OpenEXR files, as compositing programs write and open them.

In: a frame of depth, perhaps with its colours, and an ``ExrStyle``; or a file of any program. Out: a file that is
whole or absent; a frame of depth. This file knows the names that programs give to the channel of depth, and does
not know what its numbers mean.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.codes import Float32Array
from vda.depthmaps.colours import Rgb
from vda.errors import InputError, UsageError
from vda.files import write_bytes
from vda.stills.exr import in_display, opened, require_exr

Base = Literal["none", "rgb"]
PixelType = Literal["half", "float"]
Compression = Literal["zip", "pxr24"]
Floats = NDArray[np.floating]

HALF_MOST: Final = 65504.0
# Half a step: of 11 significant bits, and of the 16 that PXR24 leaves of a float's 24.
_HALF_ERROR: Final = 2.0**-11
_PXR24_ERROR: Final = 2.0**-16
_LAYER: Final = re.compile(r"\w[\w .-]{0,250}", re.ASCII)
# Rec. 709's primaries and white, which sRGB shares: what the format assumes where nothing is said.
_CHROMATICITIES: Final = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
# Blender writes this where there is nothing to see.
_BLENDERS_NOTHING: Final = 1e10


@dataclass(frozen=True)
class ExrStyle:
    """How EXR is written. The channel of depth is ``Z``, or ``LAYER.Z``.

    ``base`` "rgb" adds the frame's colours as R, G and B in half floats, linear, with the primaries of Rec. 709.
    ``compression`` "pxr24" rounds floats.
    Raises ``UsageError`` for a layer's name that the format or a reader would not take.
    """

    base: Base = "none"
    layer: str | None = None
    type: PixelType = "float"
    compression: Compression = "zip"

    def __post_init__(self) -> None:
        if self.layer is not None and not _LAYER.fullmatch(self.layer):
            raise UsageError(
                f"An EXR layer cannot be called {self.layer!r}.",
                "Give a name of letters, digits, dots and dashes, such as depth.",
            )

    @property
    def channel(self) -> str:
        if self.layer is None:
            return "Z"
        return self.layer if self.layer.endswith(".Z") else f"{self.layer}.Z"

    def remark(self) -> str | None:
        """A sentence on what is rounded, or None where depth stays as it is."""
        if self.type == "half":
            return f"EXR holds depth in half floats: each value is good to {100 * _HALF_ERROR:.2g} % of itself."
        if self.compression == "pxr24":
            return f"EXR holds depth in PXR24: each value is good to {100 * _PXR24_ERROR:.2g} % of itself."
        return None

    def require_room(self, most: float) -> None:
        """Raise ``UsageError`` where values up to ``most`` are beyond the type."""
        if self.type == "half" and most > HALF_MOST:
            raise UsageError(
                f"The depth reaches {most:.6g}, and half floats end at {HALF_MOST:g}.", "Give --exr-type float."
            )


def write_exr(path: Path, depth: Float32Array, style: ExrStyle | None = None, rgb: Rgb | None = None) -> None:
    """Write ``depth`` (float32 ``[height, width]``, NaN where there is none), whole or not at all.

    ``rgb`` (uint8 ``[height, width, 3]``, sRGB) are the frame's colours where the style has a base.
    """
    exr, style = require_exr(), style or ExrStyle()
    compressions = {"zip": exr.ZIP_COMPRESSION, "pxr24": exr.PXR24_COMPRESSION}
    header = {"compression": compressions[style.compression], "type": exr.scanlineimage}
    number = np.float16 if style.type == "half" else np.float32
    channels: dict[str, Any] = {style.channel: np.ascontiguousarray(depth, number)}
    if rgb is not None:
        header["chromaticities"] = _CHROMATICITIES
        linear = _LINEAR[rgb]
        channels |= {name: np.ascontiguousarray(linear[..., place]) for place, name in enumerate("RGB")}
    # The library takes names in UTF-8 alone, and says of no error what the system said.
    whole = io.BytesIO()
    exr.File(header, channels).write(whole)
    write_bytes(path, whole.getvalue())


def _linear_light() -> NDArray[np.float16]:
    """Linear light of the 256 values of sRGB (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float16)


_LINEAR: Final = _linear_light()


def read_exr(path: Path) -> Floats:
    """Return the depth ``[height, width]`` in an EXR file, NaN where the file has no pixels or Blender's nothing.

    It is the channel Z or that of a layer (``depth.Z``, ``ViewLayer.Depth.Z``); else V or Y; else R, G and B that
    are equal; else the only channel there is. Raises ``InputError`` where there is none of these, or several.
    """
    try:
        with opened(path, separate_channels=True) as file:
            channels = {name: (pixels, header) for name, pixels, header in _channels(file)}
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(f"{path} could not be read as EXR: {error}.", "Make it again.") from error
    pixels, header = channels[_depth_channel(path, {name: pixels for name, (pixels, _) in channels.items()})]
    if pixels.dtype == object:
        raise InputError(f"{path} is deep: it has several depths per pixel.", "Flatten it to one.")
    # A channel of whole numbers has no NaN.
    values = pixels if pixels.dtype.kind == "f" else pixels.astype(np.float32)
    depth = np.where(values.astype(np.float32) < _BLENDERS_NOTHING, values, values.dtype.type(np.nan))
    try:
        return in_display(depth, header, depth.dtype.type(np.nan))
    except ValueError as error:
        raise InputError(f"{path} could not be read as EXR: {error}.", "Write the picture whole.") from error


def _channels(file: Any) -> Iterator[tuple[str, NDArray[Any], dict[str, Any]]]:
    """All channels of all parts; a part's name goes before a channel that names no layer itself."""
    for place, part in enumerate(file.parts):
        for name, channel in part.channels.items():
            layer = part.name() if len(file.parts) > 1 and "." not in name else ""
            yield f"{layer or place}.{name}" if layer or place else name, channel.pixels, dict(file.header(place))


def _depth_channel(path: Path, channels: dict[str, NDArray[Any]]) -> str:
    for name in ("Z", "V", "Y"):
        found = [channel for channel in channels if _is_plain(channel, name, channels)]
        if len(found) > 1:
            found = [channel for channel in found if _layer_of(channel) in ("", "depth")] or found
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{path} has several channels of depth: {', '.join(found)}.", "Keep one of them.")
    grey = [channels[name] for name in "RGB" if name in channels]
    if len(grey) == len("RGB") and all(np.array_equal(grey[0], one, equal_nan=True) for one in grey[1:]):
        return "R"
    if len(channels) == 1 and not channels.keys() & set("RGBA"):
        return next(iter(channels))
    raise InputError(
        f"{path} has no channel of depth, only {', '.join(channels)}.",
        "Depth in EXR is in a channel Z, V or Y, in a layer's (depth.Z), or in R, G and B that are equal.",
    )


def _is_plain(channel: str, name: str, channels: dict[str, NDArray[Any]]) -> bool:
    """Whether ``channel`` is called ``name`` and is no part of a vector (X, Y, Z) or of a colour (Y, RY, BY)."""
    *layer, own = channel.split(".")
    others = {".".join([*layer, other]) for other in ("X", "RY", "BY")}
    return own == name and not others & channels.keys()


def _layer_of(channel: str) -> str:
    """The last part of the layer's name, in small letters: "depth" of ``ViewLayer.Depth.Z``."""
    return channel.rpartition(".")[0].rpartition(".")[2].lower()
