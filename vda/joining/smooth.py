"""What is left between pieces when scale and shift are fitted: how large its smooth part is, and mending that.

In: samples of overlaps with their places, and the pieces' scales and shifts. Out: how much of the residual is
smooth, and ``SmoothTerms`` for each piece: a scale and a shift that change over the picture as polynomials of
second degree, and a bend of the values (as a gamma makes). This file knows neither frames nor plans.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from vda.joining.align import Float32Array, Float64Array, ScaleShift
from vda.joining.joint import biweight
from vda.joining.overlaps import Kind, OverlapSample

# Terms of the fields over the picture: 1, x, y, x^2, xy, y^2.
_FIELD: Final = 6
# Those of a shift, those of a scale, and the square of the value.
TERMS: Final = 2 * _FIELD + 1
# Of normal noise: 1 over its upper quartile.
_MAD_TO_SIGMA: Final = 1.4826
# Noise below this share of the spread is not told apart.
_LEAST_NOISE: Final = 1e-4
_ITERATIONS: Final = 10
# Terms that a sample does not tell apart share what it says.
_DAMPING: Final = 1e-9
# Neighbouring pixels and frames err together: a sample of 20,000 is worth about a hundred independent ones.
_INDEPENDENT: Final = 100
# Twice the median of what clean chunks of the built-in model are left with, in half ranges (docs/decisions.md).
# Smooth terms mean nothing below it.
_CLEAN: Final = 0.01
# A mended value must go on rising with what it is made from, at no less than this rate.
_LEAST_RISE: Final = 0.2


@dataclass(frozen=True)
class DepthUnits:
    """A measure of depth: u = (value - ``centre``) / ``spread``; of metres their logarithm is the value."""

    centre: float
    spread: float
    kind: Kind

    def of(self, aligned: Any) -> Any:
        """Aligned depth, an array of floats, in this measure."""
        with np.errstate(divide="ignore"):
            return ((np.log(aligned) if self.kind == "depth" else aligned) - self.centre) / self.spread

    def back(self, u: Any) -> Any:
        values = self.centre + self.spread * u
        return np.exp(values) if self.kind == "depth" else np.maximum(values, 0)


@dataclass(frozen=True)
class SmoothTerms:
    """What is added to a piece's aligned depth u: fields of shift and scale over the picture, and a bend.

    With a field f(x, y) = (1, x, y, x^2, xy, y^2) . six of the 13 ``terms``, x and y -1..1 from edge to edge, the
    mended value is u + f1 + f2 * u + t13 * (sqrt(1 + u^2) - 1). The last bends values as a gamma does, and goes on
    as a line outside of what the overlaps hold.
    """

    terms: tuple[float, ...]
    units: DepthUnits

    def apply(self, aligned: Float32Array) -> Float32Array:
        """Return the mended depth of a frame ``[height, width]``, float32; NaN stays NaN."""
        u = self.units.of(aligned)
        mended = u + self._over(aligned.shape, 0) + u * self._over(aligned.shape, _FIELD)
        mended += u.dtype.type(self.terms[-1]) * _bend(u)
        return self.units.back(mended).astype(np.float32)

    def _over(self, shape: tuple[int, ...], first: int) -> Float32Array:
        """The field of the terms from ``first`` on, over a picture of ``shape``."""
        height, width = shape
        one, x, y, xx, xy, yy = self.terms[first : first + _FIELD]
        row, column = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
        return (one + x * row + xx * row**2 + (y * column + yy * column**2) + xy * row * column).astype(np.float32)

    def bounds(self, low: float, high: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Bounds of what values from ``low`` to ``high`` become anywhere in a picture of ``shape``."""
        ends = [self.apply(np.full(shape, value, np.float32)) for value in (low, high)]
        return float(ends[0].min()), float(ends[1].max())

    def rates(self, shape: tuple[int, int]) -> tuple[float, float]:
        """How fast a mended value rises with what it is made from: least and most in a picture of ``shape``."""
        scale, bend = self._over(shape, _FIELD), abs(self.terms[-1])
        return 1 + float(scale.min()) - bend, 1 + float(scale.max()) + bend

    def to_json(self) -> dict[str, Any]:
        return {"terms": list(self.terms), **asdict(self.units)}


def _field(x: Float64Array, y: Float64Array) -> Float64Array:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])


def _bend(u: Any) -> Any:
    return np.sqrt(1 + u * u) - 1


def _basis(u: Float64Array, places: Float64Array) -> Float64Array:
    """The ``[13, m]`` that the terms are multiplied by."""
    field = _field(*places)
    return np.concatenate([field, field * u, _bend(u)[None]])


def smooth_terms(
    samples: Sequence[OverlapSample], fits: Sequence[ScaleShift], shape: tuple[int, int], kind: Kind
) -> list[SmoothTerms | None]:
    """Find the terms of all pieces together such that they agree in the overlaps, and are as small as can be.

    Least squares reweighted by Tukey's biweight, with a prior that terms are about 0: as far from it as what is
    left in the overlaps exceeds what clean pieces leave. What all pieces have in common no overlap says, and it
    stays as it is: each term sums to 0 over the pieces. A piece without a sample has no terms, and neither has one
    whose depth would no longer rise everywhere by at least a fifth of what it did.
    """
    units = _units(samples, fits, kind)
    sides = [tuple(units.of(side) for side in _aligned(sample, fits)) for sample in samples]
    bases = [tuple(_basis(u, _places(sample)) for u in both) for sample, both in zip(samples, sides, strict=True)]
    left = [2 * residual_of(sample, fits, kind).smooth for sample in samples]
    excess = float(np.mean(np.square(left))) - _CLEAN**2
    expected = max(excess, (_CLEAN / 10) ** 2) ** 0.5
    terms = np.zeros((len(fits), TERMS))
    for _ in range(_ITERATIONS):
        terms = _reweighted(samples, sides, bases, terms, expected)
    seen = {piece for sample in samples for piece in (sample.first, sample.second)}
    found = (SmoothTerms(tuple(map(float, own)), units) for own in terms)
    return [
        own if piece in seen and own.rates(shape)[0] >= _LEAST_RISE else None for piece, own in enumerate(found)
    ]


def _reweighted(
    samples: Sequence[OverlapSample],
    sides: Sequence[tuple[Float64Array, ...]],
    bases: Sequence[tuple[Float64Array, ...]],
    terms: Float64Array,
    expected: float,
) -> Float64Array:
    """Solve for all terms once more, each pixel weighted by how well the last ones fit it."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    pieces, size = len(terms), terms.size
    normal = sparse.lil_array((size + TERMS, size + TERMS))
    gradient = np.zeros(size + TERMS)
    for sample, both, (first, second) in zip(samples, sides, bases, strict=True):
        left = both[1] - both[0]
        rest = left - (terms[sample.first] @ first - terms[sample.second] @ second)
        noise = _noise(rest)
        basis = np.concatenate([first, -second])
        weighted = basis * biweight(rest / noise) * (1 / (noise**2 / _INDEPENDENT + _CLEAN**2) / len(left))
        at = np.concatenate([piece * TERMS + np.arange(TERMS) for piece in (sample.first, sample.second)])
        gradient[at] += weighted @ left
        normal[np.ix_(at, at)] += weighted @ basis.T
    # Each term sums to 0 over the pieces (Lagrange): all would agree best if all depth became one and the same.
    seen = np.zeros((1, pieces))
    seen[0, [piece for sample in samples for piece in (sample.first, sample.second)]] = 1
    total = sparse.kron(seen, sparse.eye_array(TERMS))
    normal[size:, :size], normal[:size, size:] = total, total.T
    prior = sparse.diags_array(np.repeat((1 / expected**2, 0.0), (size, TERMS)))
    return np.asarray(spsolve((normal + prior).tocsc(), gradient))[:size].reshape(terms.shape)


def _units(samples: Sequence[OverlapSample], fits: Sequence[ScaleShift], kind: Kind) -> DepthUnits:
    """The centre, and half of the range of the middle 90 %, of all that was sampled, aligned."""
    raw = DepthUnits(0.0, 1.0, kind)
    values = np.concatenate([raw.of(side) for sample in samples for side in _aligned(sample, fits)])
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return DepthUnits(float(middle), float(high - low) / 2 or 1.0, kind)


def _aligned(sample: OverlapSample, fits: Sequence[ScaleShift]) -> tuple[Float64Array, Float64Array]:
    first, second = fits[sample.first], fits[sample.second]
    return first.scale * sample.first_values + first.shift, second.scale * sample.second_values + second.shift


def _places(sample: OverlapSample) -> Float64Array:
    assert sample.places is not None
    return sample.places


@dataclass(frozen=True)
class Residual:
    """What one overlap is left with, as shares of the depth's range: its ``smooth`` part, and the ``rest``."""

    smooth: float
    rest: float


def residual_of(
    sample: OverlapSample, fits: Sequence[ScaleShift], kind: Kind, terms: Sequence[SmoothTerms | None] = ()
) -> Residual:
    """Measure what is left between two pieces: the root mean square of the smooth part, the noise of the rest.

    What is left after ``fits``, and ``terms`` where there are any. The range is that of the middle 90 % of the
    overlap's values; of metres, of their logarithms.
    """
    units = _units([sample], fits, kind)
    places = _places(sample)
    first, second = _aligned(sample, fits)
    if terms:
        first, second = (
            values if own is None else _mended(own, values, places)
            for own, values in ((terms[sample.first], first), (terms[sample.second], second))
        )
    first, second = units.of(first), units.of(second)
    basis, left = _basis((first + second) / 2, places), first - second
    found = np.zeros(TERMS)
    for _ in range(_ITERATIONS):
        rest = left - found @ basis
        weighted = basis * biweight(rest / _noise(rest))
        normal = weighted @ basis.T
        normal += _DAMPING * np.trace(normal) * np.eye(TERMS)
        found = np.linalg.solve(normal, weighted @ left)
    smooth = found @ basis
    rest = left - smooth
    noise = _noise(rest)
    fitting = biweight(rest / noise) > 0
    return Residual(float(np.sqrt(np.mean(np.square(smooth[fitting])))) / 2, noise / 2)


def _mended(terms: SmoothTerms, aligned: Float64Array, places: Float64Array) -> Float64Array:
    """``SmoothTerms.apply`` of single values at ``places``, all of them seen."""
    u = terms.units.of(aligned)
    return np.asarray(terms.units.back(u + np.array(terms.terms) @ _basis(u, places)))


def _noise(residual: Float64Array) -> float:
    return max(_MAD_TO_SIGMA * float(np.median(np.abs(residual))), _LEAST_NOISE)
