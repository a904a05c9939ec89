"""What two neighbouring pieces share, and whether it says anything of their scales.

In: two pieces' depth of the frames that both have; where they share none, the last frame of the one and the first
of the other. Out: a ``Tie`` that is told and recorded, with the sample that a fit is made from. This file does not
know how all pieces are fitted, nor what they are pieces of.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from vda.joining.align import Float32Array, Float64Array
from vda.joining.joint import solve_joint
from vda.joining.overlaps import LEAST_AGREEMENT, Kind, OverlapSample, OverlapSampler, agreement
from vda.joining.smooth import Residual

Verdict = Literal["fitted", "constant", "unrelated", "opposed", "nothing shared"]
FrameReader = Callable[[int], Float32Array]

# Enough of an overlap to fit by: frames of one overlap are much alike, and each is made twice for it.
_FITTED_FRAMES: Final = 32
# A spread of 1e-6 of the size is a few float32 roundings.
_CONSTANT: Final = 1e-6
# Two frames this far apart gave scales 3.5 % off (median of ten synthetic films), neighbours 0.4 %.
_FARTHEST_PAIR: Final = 8


@dataclass(frozen=True)
class Tie:
    """The frames ``start`` .. ``stop`` that piece ``first`` and the next share, by their places.

    ``shared`` of the ``planned`` frames both have depth of. Where none is planned, ``start`` is the last frame of
    the one and ``stop - 1`` the first of the other. ``agreement`` (-1..1, as in ``overlaps``) is why the
    ``verdict`` is what it is; ``residual`` is what the fit leaves, where it was measured.
    """

    first: int
    start: int
    stop: int
    planned: int
    shared: int
    agreement: float
    verdict: Verdict
    residual: Residual | None = None

    @property
    def is_hard_cut(self) -> bool:
        return self.shared == 0

    @property
    def holds(self) -> bool:
        return self.verdict == "fitted"

    def to_json(self) -> dict[str, Any]:
        return {
            "start_frame": self.start,
            "end_frame": self.stop,
            "planned_frames": self.planned,
            "shared_frames": self.shared,
            "agreement": round(self.agreement, 4),
            "verdict": self.verdict,
            **({"residual": asdict(self.residual)} if self.residual else {}),
        }


@dataclass(frozen=True)
class Ends:
    """What is known of two neighbours before a frame is read: places that they share, or that meet at a cut.

    Of a cut ``earlier`` and ``later`` are the places behind and before these, where there is depth of them.
    """

    first: int
    planned: range
    pairs: tuple[tuple[int, int], ...]
    earlier: int | None = None
    later: int | None = None

    @property
    def shared(self) -> int:
        return sum(one == other for one, other in self.pairs)


def ends_of(first: int, before: range, after: range, missing: Callable[[int, int], bool]) -> Ends:
    """Return where piece ``first`` (places ``before``) and the next one (``after``) meet.

    ``missing`` says whether a piece has no depth of a place. Of two that share no frame the last of the one and
    the first of the other are paired, unless they are more than 8 places apart.
    """
    planned = range(after.start, min(before.stop, after.stop))
    shared = [place for place in planned if not (missing(first, place) or missing(first + 1, place))]
    if shared:
        return Ends(first, planned, tuple((place, place) for place in shared))
    ours = [place for place in before if not missing(first, place)]
    theirs = [place for place in after if not missing(first + 1, place) and ours and place > ours[-1]]
    if not ours or not theirs or theirs[0] - ours[-1] > _FARTHEST_PAIR:
        return Ends(first, planned, ())
    earlier = ours[-2] if len(ours) > 1 else None
    later = theirs[1] if len(theirs) > 1 else None
    return Ends(first, planned, ((ours[-1], theirs[0]),), earlier, later)


def tie(
    ends: Ends, first: FrameReader, second: FrameReader, *, kind: Kind, seed: int = 0
) -> tuple[Tie, OverlapSample | None]:
    """Look at the frames of ``ends`` in both pieces; return what they say, and the sample where there is any.

    Frames in which the two do not agree (black, fog, noise) are left out of the sample where others do. At a cut
    both frames are brought half of the way to each other first, by what scale and shift change from a frame to the
    next inside either piece: what moves by, and a camera that nears, are no difference between the pieces.
    """
    looked_at = ends.pairs[:: -(-len(ends.pairs) // _FITTED_FRAMES) or 1]
    start, stop = (ends.pairs[0][0], ends.pairs[-1][1] + 1) if ends.pairs else (ends.planned.start,) * 2
    if ends.planned:
        start, stop = ends.planned.start, ends.planned.stop
    if not looked_at:
        return Tie(ends.first, start, stop, len(ends.planned), 0, 0.0, "nothing shared"), None
    sampler = OverlapSampler(ends.first, ends.first + 1, len(looked_at), kind=kind, seed=seed, with_places=True)
    if ends.shared:
        found = [sampler.add(first(one), second(other)) for one, other in looked_at]
    else:
        [(last, begin)] = ends.pairs
        way = (begin - last) / 2
        before = _carried_on(first, ends.earlier, last, way, kind)
        found = [sampler.add(before, _carried_on(second, ends.later, begin, way, kind))]
    telling = [number for number, value in enumerate(found) if value >= LEAST_AGREEMENT]
    # Frames that are flat, each of another depth, say something together.
    sample = sampler.sample(telling or None)
    agreed = (
        float(np.mean([found[number] for number in telling]))
        if telling
        else agreement(sample.first_values, sample.second_values)
    )
    met = Tie(ends.first, start, stop, len(ends.planned), ends.shared, agreed, _verdict(sample, agreed))
    return met, sample


def _carried_on(read: FrameReader, beside: int | None, place: int, frames: float, kind: Kind) -> Float32Array:
    """The depth of ``place``, changed as it would go on over so many ``frames``, from the frame ``beside`` it."""
    values = read(place)
    if beside is None:
        return values
    sampler = OverlapSampler(0, 1, 1, kind=kind)
    if sampler.add(read(beside), values) < LEAST_AGREEMENT:
        return values
    before, now = solve_joint([sampler.sample()], 2, kind=kind)
    # now = gain * before + rise, of values as they came.
    gain, rise = before.scale / now.scale, (before.shift - now.shift) / now.scale
    share = frames / abs(place - beside)
    return ((1 + share * (gain - 1)) * values + share * rise).astype(np.float32)


def _verdict(sample: OverlapSample, agreed: float) -> Verdict:
    if not sample.first_values.size:
        return "nothing shared"
    if _is_constant(sample.first_values) or _is_constant(sample.second_values):
        return "constant"
    if agreed <= -LEAST_AGREEMENT:
        return "opposed"
    return "fitted" if agreed >= LEAST_AGREEMENT else "unrelated"


def _is_constant(values: Float64Array) -> bool:
    return float(np.ptp(values)) <= _CONSTANT * float(np.abs(values).max())
