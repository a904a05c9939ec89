"""From relative inverse depth to metres: 1 / metres = scale * value + shift.

In go known distances, or another, metric source of depth (known sizes: ``knownsize``); out comes a
``Calibration``, which is kept in the scene and read by everything that needs metres. Two numbers hold for a whole
scene, because its depth is brought to one scale and shift; a scene of several shots is as metric as its shots are
alike. This file does not know how depth was made.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.calibration.identity import Fingerprint
from vda.calibration.sampling import DepthImages, Region, measure
from vda.camera.conventions import resized
from vda.camera.intrinsics import pixel_grid
from vda.errors import InputError, UsageError
from vda.files import read_json, write_json
from vda.records import NOT_AS_EXPECTED, filled
from vda.tracks import Header, Skip, Tracks

Values = NDArray[np.float64]

INVERSE_DEPTH = "inverse_depth"
# Where the robust losses bend: what is farther off than 5 % of its distance counts less and less.
_RELATIVE_ERROR = 0.05
# Where the middle four fifths of all values lie within a fifth of their median, noise would make the shift.
_LEAST_RANGE = 0.2
# Two numbers are sought: 40 frames of 64 x 64 places are 160,000 pairs.
_REFERENCE_FRAMES = 40
_REFERENCE_LATTICE = 64
# At most 64,000 pairs are left, fitted in a tenth of a second, and no depth outvotes another.
_DEPTH_BINS = 32
_PIXELS_A_BIN = 2000


@dataclass(frozen=True)
class Calibration:
    """1 / metres = ``scale`` * value + ``shift``, for values of ``kind``; of depth the inverse is meant.

    ``error`` is the median relative error of the distances it was fitted to (None where nothing was fitted),
    ``made_for`` some values of the depth it was made for (None: for any).
    """

    scale: float
    shift: float
    kind: str = INVERSE_DEPTH
    method: str = "given"
    samples: int = 0
    error: float | None = None
    notes: tuple[str, ...] = ()
    made_for: Fingerprint | None = None

    def __post_init__(self) -> None:
        if not np.isfinite([self.scale, self.shift]).all() or self.scale <= 0:
            raise InputError(
                f"The calibration ({self.method}) would have the scale {self.scale:.6g} and the shift "
                f"{self.shift:.6g}: then what is nearer in the depth would be farther away.",
                "Check the frames, pixels and metres that were given, and that the depth is right there.",
            )

    def metres(self, values: NDArray[np.floating]) -> Values:
        """Depth in metres, float64; +inf where the calibrated inverse depth is not above 0; NaN stays NaN."""
        inverse = self.scale * inverse_depth(values, self.kind) + self.shift
        with np.errstate(divide="ignore"):
            return np.where(inverse > 0, 1 / np.abs(inverse), np.where(np.isnan(inverse), np.nan, np.inf))


@dataclass(frozen=True)
class KnownDistance:
    """A pixel of a frame, in the video's own size, whose depth along the optical axis is known."""

    frame: int
    x: float
    y: float
    metres: float

    @classmethod
    def parse(cls, text: str) -> "KnownDistance":
        """Read ``FRAME:X,Y=METRES``."""
        try:
            place, metres = text.split("=")
            frame, pixel = place.split(":")
            x, y = pixel.split(",")
            known = cls(int(frame), float(x), float(y), float(metres))
        except ValueError as error:
            raise UsageError(f"{text!r} is not a known distance.", "Write it as FRAME:X,Y=METRES.") from error
        if not 0 < known.metres < np.inf:
            raise UsageError(f"{text!r} is not a distance in front of the camera.", "Give metres above zero.")
        return known


def inverse_depth(values: NDArray[np.floating], kind: str) -> Values:
    """``values`` as inverse depth, float64: as they are, or 1 / depth; depth of 0 and less is NaN."""
    numbers: Values = np.asarray(values, np.float64)
    if kind == INVERSE_DEPTH:
        return numbers
    return np.divide(1.0, numbers, out=np.full_like(numbers, np.nan), where=numbers > 0)


def save_calibration(calibration: Calibration, path: Path) -> None:
    made_for = calibration.made_for and calibration.made_for.to_json()
    write_json(path, {**asdict(replace(calibration, made_for=None)), "made_for": made_for})


def load_calibration(path: Path) -> Calibration | None:
    """The calibration kept in ``path``; None where there is none."""
    if not path.exists():
        return None
    anew = "Remove that file, and calibrate again with 'vda enrich'."
    value: dict[str, Any] = read_json(path, strict=True, remedy=anew)
    try:
        made_for = value.get("made_for")
        read = {"notes": tuple(value.get("notes", ())), "made_for": made_for and Fingerprint.from_json(made_for)}
        calibration: Calibration = replace(filled(Calibration, {**value, "made_for": None}), **read)
        return calibration
    except NOT_AS_EXPECTED as error:
        raise InputError(f"{path} is not a calibration.", anew) from error


def from_known_distances(
    known: Sequence[KnownDistance], depth: DepthImages, kind: str, size: tuple[int, int], window_px: int = 7
) -> Calibration:
    """Least squares in inverse depth over two points or more, in pixels of an image of ``size`` (width, height).

    Raises ``InputError`` where a point has no depth, or all have the same.
    """
    if len(known) < 2:
        raise UsageError("One known distance cannot give both scale and shift.", "Give two or more.")
    region = Region(kind="window", window_px=window_px)
    found = measure(_as_tracks(known), depth, size, region, lambda values: inverse_depth(values, kind))
    for point, code in zip(known, found.skip, strict=True):
        if code != Skip.NONE:
            raise InputError(
                f"The known distance at frame {point.frame}, pixel ({point.x:g}, {point.y:g}) is of no use: "
                f"{Skip(code).text}.",
                "Give a pixel that has depth.",
            )
    metres = np.array([point.metres for point in known])
    design = np.stack([found.value, np.ones(len(known))], axis=1)
    if np.linalg.matrix_rank(design, tol=1e-6 * np.abs(design).max()) < 2:
        raise InputError(
            "The known distances lie at one and the same relative depth: that gives no scale and shift.",
            "Give one near and one far.",
        )
    scale, shift = np.linalg.lstsq(design, 1 / metres, rcond=None)[0]
    calibration = Calibration(float(scale), float(shift), kind, "known distances", len(known))
    fitted = calibration.metres(_from_inverse(found.value, kind))
    notes = tuple(
        f"frame {point.frame} ({point.x:g}, {point.y:g}): {point.metres:g} m given, {metre:.4g} m fitted, "
        f"residual {metre - point.metres:+.3g} m"
        for point, metre in zip(known, fitted, strict=True)
    )
    error = float(np.median(np.abs(fitted / metres - 1)))
    return replace(calibration, error=error, notes=notes)


def _from_inverse(inverse: Values, kind: str) -> Values:
    return inverse if kind == INVERSE_DEPTH else 1 / inverse


def _as_tracks(known: Sequence[KnownDistance]) -> Tracks:
    count = len(known)
    nobody = np.full(count, -1, np.int64)
    return Tracks(
        path=Path("known distances"),
        format="",
        header=Header(),
        frame=np.array([point.frame for point in known], np.int64),
        box=np.full((count, 4), np.nan),
        point=np.array([(point.x, point.y) for point in known], np.float64),
        track=nobody,
        category=nobody,
        skip=np.zeros(count, np.uint8),
        track_names=[],
        category_names=[],
    )


def from_reference(
    depth: DepthImages, kind: str, reference: DepthImages, convert: Callable[[Values], Values]
) -> Calibration:
    """From another source of depth for the same frames: a metric model's, or a sensor's images.

    ``convert`` turns its values into metres. At most 40 frames are read, a lattice of pixels of each.
    """
    common = sorted(set(depth.frames) & set(reference.frames))
    if not common:
        raise InputError("The two sources of depth have no frame in common.", "Check the frame numbers of both.")
    chosen = [common[i] for i in np.unique(np.linspace(0, len(common) - 1, _REFERENCE_FRAMES).round().astype(int))]
    pairs = [_lattice_pairs(depth.read(frame), reference.read(frame)) for frame in chosen]
    values = inverse_depth(np.concatenate([pair[0] for pair in pairs]), kind)
    metres = convert(np.concatenate([pair[1] for pair in pairs]))
    usable = np.flatnonzero(np.isfinite(values) & np.isfinite(metres) & (metres > 0))
    spread = usable[_spread_over_depth(values[usable])]
    return fit_calibration(
        values[spread], 1 / metres[spread], kind, "another source of depth", "pixels with depth in both"
    )


def _spread_over_depth(values: Values) -> NDArray[np.intp]:
    """Indices such that near and far are there alike; a wall that fills the picture says nothing of the shift."""
    if not len(values):
        return np.zeros(0, np.intp)
    edges = np.linspace(values.min(), values.max(), _DEPTH_BINS + 1)[1:-1]
    bins = np.searchsorted(edges, values)
    order = np.argsort(bins, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(bins[order])) + 1)
    return np.concatenate([group[:: -(-len(group) // _PIXELS_A_BIN)] for group in groups])


def _lattice_pairs(image: NDArray[np.floating], reference: NDArray[np.floating]) -> tuple[Values, Values]:
    """The values of both images at the same places, whatever their sizes."""
    lattice = (_REFERENCE_LATTICE, _REFERENCE_LATTICE)
    found = []
    for values in (image, reference):
        height, width = values.shape
        places = np.rint(resized(pixel_grid(*lattice), lattice, (width, height))).astype(np.intp)
        found.append(values[places[:, 1].clip(0, height - 1), places[:, 0].clip(0, width - 1)].astype(np.float64))
    return found[0], found[1]


def robust_fit(design: Values) -> Values:
    """The x [k] for which ``design`` [n, k] @ x is nearest to 1, where some rows are plainly wrong.

    Soft L1 has one minimum whatever the start; from there Cauchy's loss lets go of what is far off.
    """
    from scipy.optimize import least_squares

    solution = np.linalg.lstsq(design, np.ones(len(design)), rcond=None)[0]
    for loss in ("soft_l1", "cauchy"):
        solution = least_squares(lambda x: design @ x - 1, solution, loss=loss, f_scale=_RELATIVE_ERROR).x
    return np.asarray(solution, np.float64)


def fit_calibration(values: Values, inverse_metres: Values, kind: str, method: str, what: str) -> Calibration:
    """Scale and shift with the least relative error of the distance, robustly; shift 0 where it cannot be told.

    ``values`` are inverse depth as the images hold it, [n]; ``what`` names them where there are too few.
    """
    if len(values) < 2:
        raise InputError(f"The calibration by {method} found {len(values)} {what}.", "Calibrate another way.")
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    tells_shift = high - low > _LEAST_RANGE * abs(middle)
    design = (
        np.stack([values, np.ones(len(values))], axis=1)[:, : 2 if tells_shift else 1] / inverse_metres[:, None]
    )
    solution = robust_fit(design)
    scale, shift = float(solution[0]), float(solution[1]) if tells_shift else 0.0
    ratio = (scale * values + shift) / inverse_metres
    error = float(np.median(np.abs(1 / ratio[ratio > 0] - 1))) if (ratio > 0).any() else None
    notes = () if tells_shift else ("All lie at about one depth: the shift cannot be told and is taken as 0.",)
    return Calibration(scale, shift, kind, method, len(values), error, notes)
