"""High dynamic range to standard: the light of PQ and HLG, dimmed to what SDR can show, in BT.709's colours.

In: R'G'B' as the stream codes it. Out: 8-bit R'G'B' for a BT.1886 display. The steps, all by formula:

1. To the light of the display: PQ's EOTF, or HLG's inverse OETF and the OOTF of its nominal display, 1000 cd/m2
   and gamma 1.2 (ITU-R BT.2100, tables 4 and 5).
2. Dimmed by the EETF of ITU-R BT.2390 (section 5.4.1), from the mastering display's peak to SDR's, with black at
   0. It is taken of the largest of R, G and B, and the other two keep their ratio to it, so that hues stay.
3. To BT.709's primaries by the matrix that follows from both sets (as in BT.2087), clipped.
4. Divided by 203 cd/m2, HDR's reference white (BT.2408), which becomes SDR's, and coded with 1 / 2.4 (BT.1886).

This file does not know where pictures come from.
"""

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.picture.colours import Colours, Primaries
from vda.picture.signal import Transfer

Floats = NDArray[np.floating]
_T = TypeVar("_T", np.float32, np.uint8)

_WHITE_NITS = 203.0
_PQ_NITS = 10_000.0
# SMPTE ST 2084 and BT.2100.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_KNEE = 1 / 2
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2
_DISPLAY_GAMMA = 2.4
# Red, green, blue and white (D65) in x and y: BT.2020, SMPTE EG 432-1, BT.709.
_WHITE = (0.3127, 0.3290)
_CHROMATICITIES: dict[Primaries, tuple[tuple[float, float], ...]] = {
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
}
# Tables instead of powers: exact to well below a step of 8 bits, and the same on every processor. Light is looked
# up by its square root, so that the dark has steps as fine as the bright.
_ENTRIES = 65_536


def pq_light(signal: Floats) -> Floats:
    """PQ's EOTF: R'G'B' 0..1 to cd/m2."""
    power = np.asarray(signal, np.float64) ** (1 / _M2)
    return _PQ_NITS * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def pq_signal(nits: Floats) -> Floats:
    """The inverse of ``pq_light``."""
    power = (np.asarray(nits, np.float64) / _PQ_NITS) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_scene_light(signal: Floats) -> Floats:
    """HLG's inverse OETF: R'G'B' 0..1 to the scene's light, 0..1."""
    signal = np.asarray(signal, np.float64)
    return np.where(signal <= _HLG_KNEE, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)


def dimmed(nits: Floats, peak_nits: float) -> Floats:
    """BT.2390's EETF: light of a display that goes to ``peak_nits``, on one that goes to 203 cd/m2."""
    if peak_nits <= _WHITE_NITS:
        return np.minimum(nits, _WHITE_NITS)
    top = float(pq_signal(np.array(peak_nits)))
    most = float(pq_signal(np.array(_WHITE_NITS))) / top
    knee = (3 * most - 1) / 2
    coded = np.clip(pq_signal(nits) / top, 0, 1)
    t = np.maximum(coded - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return pq_light(np.where(coded < knee, coded, bent) * top)


def to_bt709(primaries: Primaries) -> NDArray[np.float64]:
    """The matrix [3, 3] from linear light in ``primaries`` to BT.709's, white kept."""
    return np.linalg.inv(_to_xyz("bt709")) @ _to_xyz(primaries)


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*_CHROMATICITIES[primaries], _WHITE)]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))


@dataclass(frozen=True)
class _Tables:
    """``light`` by R'G'B', ``gain`` by the root of light / 10,000 cd/m2, ``coded`` by the root of light / 203."""

    light: NDArray[np.float32]
    gain: NDArray[np.float32]
    coded: NDArray[np.uint8]


@cache
def _tables(transfer: Transfer, peak_nits: int) -> _Tables:
    steps = np.arange(_ENTRIES) / (_ENTRIES - 1)
    nits = np.maximum(steps**2 * _PQ_NITS, 1e-9)
    return _Tables(
        (pq_light(steps) if transfer == "pq" else hlg_scene_light(steps)).astype(np.float32),
        (dimmed(nits, peak_nits) / nits).astype(np.float32),
        np.rint(255 * steps ** (2 / _DISPLAY_GAMMA)).astype(np.uint8),
    )


def to_standard_range(signal: NDArray[np.float32], colours: Colours) -> NDArray[np.uint8]:
    """Return uint8 R'G'B' [height, width, 3] of such a ``signal``, float32, 0..1; what lies outside is clipped."""
    tables = _tables(colours.transfer, colours.peak_nits)
    light = _looked_up(tables.light, signal)
    if colours.transfer == "hlg":
        light *= _hlg_gain(light, colours.peak_nits)[..., None]
    planes = cv2.split(light)
    brightest = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    gain = _looked_up(tables.gain, np.sqrt(brightest / _PQ_NITS))
    # Plane by plane: a factor for three values side by side takes NumPy five times as long.
    for plane in planes:
        np.multiply(plane, gain, out=plane)
    shown = cv2.transform(cv2.merge(planes), to_bt709(colours.primaries) / _WHITE_NITS)
    return _looked_up(tables.coded, np.sqrt(np.maximum(shown, 0)))


def _hlg_gain(scene: NDArray[np.float32], peak_nits: int) -> NDArray[np.float32]:
    """The OOTF: what the scene's light is multiplied by, peak * Y ** (gamma - 1), with BT.2020's Y."""
    luminance = cv2.transform(scene, np.array([[0.2627, 0.6780, 0.0593]]))
    return np.asarray(peak_nits * luminance ** np.float32(_HLG_GAMMA - 1), np.float32)


def _looked_up(table: NDArray[_T], values: NDArray[np.float32]) -> NDArray[_T]:
    """The entries of ``table`` that are nearest to ``values``, 0..1; those beyond its ends are its ends."""
    places = np.rint(values * np.float32(_ENTRIES - 1)).astype(np.intp)
    found = np.empty(values.shape, table.dtype)
    # Into an array that is there, by NumPy's own kind of index, and clipped: other ways take four times as long.
    return np.take(table, places, out=found, mode="clip")
