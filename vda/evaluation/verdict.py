"""What a scene's figures amount to, in words: how steady its depth is, where it is worst, what to do about it.

In: a ``Quality`` and what the depth was made with. Out: a ``DepthVerdict``. Where the limits are from stands in
docs/report.md. What was not measured is said and never taken for good; whether depth is right no figure here
can tell. This file does not know what a page looks like.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from vda.depthmaps.codes import DepthRecord
from vda.evaluation.quality import Quality
from vda.shown import counted

# True depth of synthetic films has up to 0.0065, its worst pairs of frames 0.008; noise of 1 % of the range added
# to it 0.010 to 0.014, of 2 % 0.019 to 0.023, of 5 % 0.046 to 0.054.
FLICKER: Final = (0.01, 0.03)
# True depth with noise of 1 % has no pair above 0.016.
WORST_FLICKER: Final = 0.02
# Windows that are distorted by noise alone have a drift of 0.003 to 0.011, a first frame that is wrong by 30 %
# 0.10 to 0.17.
DRIFT: Final = (0.03, 0.1)
# Of eleven real films the largest score was 1.04.
SEAM: Final = (1.5, 3.0)
# One grey level of 256: what is less, no picture of 8 bits shows.
_SEEN_STEP: Final = 1 / 256
# Where nothing tells the usual change at a seam itself, motion may be taken for one: of ten films no frame changed
# by more than 13.8 times the median change.
_MOTION: Final = 14.0
_FEW_CODES: Final = 4096
_MUCH_INVALID: Final = 0.01
_MOST_NAMED: Final = 4


class Level(IntEnum):
    """How bad a finding is; ``UNKNOWN`` is what was not measured."""

    GOOD = 0
    UNKNOWN = 1
    SOME = 2
    BAD = 3


@dataclass(frozen=True)
class Judgement:
    """``text`` says what was found, ``remedy`` what to do (empty: nothing); ``frames`` are where it is worst."""

    level: Level
    text: str
    remedy: str = ""
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class DepthVerdict:
    """The whole in a few ``words``, and what it is made of."""

    words: str
    level: Level
    findings: tuple[Judgement, ...]

    @property
    def frames(self) -> list[int]:
        """The frames that are named, in order."""
        return sorted({frame for finding in self.findings for frame in finding.frames})


def judge(quality: Quality, record: DepthRecord) -> DepthVerdict:
    """Judge the depth by its figures."""
    steady = (_flicker(quality), *_seams(quality, record), *_untied(quality), _drift(quality, record))
    others = tuple(_others(quality, record))
    known = [finding.level for finding in steady if finding.level != Level.UNKNOWN]
    unknown = len(known) < len(steady)
    worst = max((*known, *(finding.level for finding in others)), default=Level.UNKNOWN)
    if not known:
        return DepthVerdict(
            "Not judged: nothing of how steady it is could be measured", Level.UNKNOWN, steady + others
        )
    words = {Level.GOOD: "Steady", Level.SOME: "Not quite steady", Level.BAD: "Not steady"}[max(known)]
    if worst > max(known):
        words += ", with a reservation"
    return DepthVerdict(words + (", as far as it was measured" if unknown else ""), worst, steady + others)


def _level(value: float, limits: Sequence[float]) -> Level:
    return (Level.GOOD, Level.SOME, Level.BAD)[sum(value > limit for limit in limits)]


def _flicker(quality: Quality) -> Judgement:
    value = quality.values.get("flicker")
    if value is None:
        return Judgement(Level.UNKNOWN, f"Flicker was not measured: {_why(quality, 'flicker')}.")
    usual = f"depth changes by {100 * value:.2g} % of its range from frame to frame along the motion"
    level = _level(value, FLICKER)
    bad = [one for one in quality.worst if one.change > max(WORST_FLICKER, 3 * value)]
    words = {Level.GOOD: "Little flicker", Level.SOME: "Some flicker", Level.BAD: "Strong flicker"}[level]
    if not bad:
        return Judgement(level, f"{words}: {usual}.{_looked_at(quality)}", _ANOTHER_MODEL if level else "")
    text = f"{words}: {usual}, but by {100 * bad[0].change:.2g} % at its worst.{_looked_at(quality)}"
    remedy = (
        "Look at these frames. Where the film cuts, plan it with --shots auto; where something is suddenly near "
        "or flashes, depth may well change."
    )
    named = tuple(sorted(one.frame for one in bad[:_MOST_NAMED]))
    return Judgement(
        max(level, Level.SOME), text, f"{remedy} {_ANOTHER_MODEL}" if level > Level.SOME else remedy, named
    )


def _looked_at(quality: Quality) -> str:
    scanned = quality.scanned
    if scanned is None or len(scanned.changes) >= scanned.pairs:
        return ""
    return f" The worst is that of {len(scanned.changes):,} of {scanned.pairs:,} pairs of frames."


_ANOTHER_MODEL: Final = (
    "Try another model on a part of the film (vda depth FILM --scene OTHER --model vits --frames 0:200), and hold "
    "the two against each other (vda eval OTHER SCENE --pairs --page compared.html)."
)


def _seams(quality: Quality, record: DepthRecord) -> Iterator[Judgement]:
    if not quality.seam_count:
        yield Judgement(Level.GOOD, "No seams: the depth was made in one piece.")
        return
    if not quality.seams:
        yield Judgement(Level.UNKNOWN, f"Seams were not measured: {_why(quality, 'seam')}.")
        return
    least = _SEEN_STEP * (quality.scanned.range if quality.scanned else 0.0)
    limits = {True: SEAM, False: (_MOTION, _MOTION)}
    bad = [seam for seam in quality.seams if seam.after > limits[seam.in_place][0] and seam.step > least]
    doubtful = [seam for seam in quality.seams if not seam.in_place and SEAM[0] < seam.after <= _MOTION]
    looked = f"{len(quality.seams):,} of {counted(quality.seam_count, 'seam')}"
    if bad:
        bad.sort(key=lambda seam: -seam.after)
        level = max(_level(seam.after, limits[seam.in_place]) for seam in bad)
        text = (
            f"{counted(len(bad), 'seam')} can be seen ({looked} looked at): at its worst depth jumps by "
            f"{bad[0].after:.3g} times what it changes by anyway."
        )
        named = tuple(sorted(seam.frame for seam in bad[:_MOST_NAMED]))
        yield Judgement(level, text, _mend_seams(record), named)
    elif doubtful:
        yield Judgement(
            Level.UNKNOWN,
            f"Whether {counted(len(doubtful), 'seam')} can be seen is not known ({looked} looked at): without a "
            "scale of the raw depth at these places, a seam cannot be told from motion.",
        )
    else:
        yield Judgement(Level.GOOD, f"No seam can be seen ({looked} looked at).")


def _mend_seams(record: DepthRecord) -> str:
    if any("chunks" in shot for shot in record.shots):
        return (
            "Give the chunks more frames in common (vda split FILM --chunking independent --overlap 64), or, with "
            "a model of this program, link them (--chunking linked), which leaves no seams."
        )
    return "Merge again with all windows fitted at once: vda merge SCENE --align joint --overwrite."


def _drift(quality: Quality, record: DepthRecord) -> Judgement:
    value = quality.values.get("drift")
    if value is None:
        reason = f"Whether its scale drifts over the film was not measured: {_why(quality, 'drift')}."
        return Judgement(Level.UNKNOWN, reason)
    level = _level(value, DRIFT)
    words = {Level.GOOD: "Its scale holds", Level.SOME: "Its scale drifts", Level.BAD: "Its scale drifts much"}
    text = f"{words[level]}: by {100 * value:.2g} % over the film (estimated from the frames that windows share)."
    if not level:
        return Judgement(level, text)
    if record.settings.get("align") == "joint":
        return Judgement(
            level, text, "Where the film cuts, plan it with --shots auto. Do not measure across shots."
        )
    return Judgement(level, text, "Fit all windows at once: vda merge SCENE --align joint --overwrite.")


def _untied(quality: Quality) -> Iterator[Judgement]:
    if untied := quality.values.get("untied"):
        yield Judgement(
            Level.BAD,
            f"The scale of {counted(round(untied), 'overlap')} of chunks is a guess: nothing in it tells.",
            "Cut the film elsewhere or give the chunks more frames in common (--overlap 64).",
        )


def _others(quality: Quality, record: DepthRecord) -> Iterator[Judgement]:
    invalid = quality.values.get("invalid")
    if invalid is not None and invalid > _MUCH_INVALID:
        yield Judgement(
            Level.SOME,
            f"{100 * invalid:.2g} % of what the network saw has no depth.",
            "Frames that could not be decoded are in missing_frames of depth.json; metres out of range want "
            "another --depth-scale.",
        )
    codes = quality.values.get("codes")
    if codes is not None and codes < _FEW_CODES:
        yield Judgement(
            Level.SOME,
            f"The bulk of its values has {round(codes):,} codes of 65,535: one very near thing takes the others.",
            "Merge with --coding sqrt --overwrite, or write floats beside it: --format npz.",
        )
    if record.remarks:
        yield Judgement(Level.SOME, f"The merge remarked {counted(len(record.remarks), 'thing')}, below.")


def _why(quality: Quality, name: str) -> str:
    return quality.why.get(name, "nobody knows why")


def built_in(model: str) -> str:
    """What has to be said of the built-in model's depth, with figures of docs/mini.md; empty for others."""
    if model != "mini":
        return ""
    return (
        "This is the depth of the small built-in model, for trying things out: the layout of a view, not its "
        "details. On 300 real frames that it had not seen its error (AbsRel) was 0.19, that of a plain ramp from "
        "top to bottom 0.21. For depth worth keeping get the real one: vda weights fetch vits, then "
        "vda depth FILM --scene OTHER --model vits."
    )
