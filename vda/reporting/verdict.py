"""What a scene's figures say, in words: how steady its depth is, where it is worst, and what to do about it.

In: a ``Quality`` and what the depth was made with. Out: ``Sentence``s, the gravest first. What was not measured is
said to be so, and is never called good. Bounds are by ten real films of 70 to 240 frames and the built-in model
(docs/evaluation.md): none had a seam above 1.02, and flicker was 0.1 to 2.3 % with a median of 0.9 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from vda.depthmaps.codes import DepthRecord
from vda.evaluation.quality import Quality

# The model that is shipped for trying things out.
_BUILT_IN: Final = "mini"
# A seam this much above the usual change is seen; far below, no film of those had one.
_SEAM, _SEAM_NOTED = 1.5, 1.1
# Between what the least steady films have and what anybody sees.
_FLICKER, _FLICKER_NOTED = 0.03, 0.015
# Of the scale's deviation: 2 % is what neighbouring windows of a metric model are said to differ by.
_DRIFT, _DRIFT_NOTED = 0.1, 0.02
_INVALID = 0.02

Weight = Literal["bad", "note", "good", "unknown"]
_ORDER: Final[tuple[Weight, ...]] = ("bad", "note", "unknown", "good")


@dataclass(frozen=True)
class Sentence:
    """``says`` what is so and ``do`` what to do about it; ``frame`` is where it is worst."""

    weight: Weight
    says: str
    do: str = ""
    frame: int | None = None


def verdict(quality: Quality, record: DepthRecord) -> list[Sentence]:
    """Everything worth saying of a scene's depth, the gravest first."""
    said = [
        *_model(record),
        *_seam(quality),
        *_flicker(quality),
        *_drift(quality, record),
        *_pieces(quality),
        *_holes(quality),
    ]
    return sorted(said, key=lambda sentence: _ORDER.index(sentence.weight))


def in_a_word(said: list[Sentence]) -> str:
    """The verdict as a table has it."""
    weights = {sentence.weight for sentence in said}
    if "bad" in weights:
        return "look at it"
    if "unknown" in weights:
        return "not all measured"
    return "steady, with remarks" if "note" in weights else "steady"


def _model(record: DepthRecord) -> Iterator[Sentence]:
    if record.model == _BUILT_IN:
        yield Sentence(
            "note",
            "It is by the built-in model, which is for trying things out: it gives the layout of a view, not "
            "its details, and is often little better than a ramp from the top of the picture to the bottom.",
            "For depth worth keeping fetch the real one (vda weights fetch vits) and compute the film with it "
            "(--model vits --restart).",
        )


def _seam(quality: Quality) -> Iterator[Sentence]:
    if not quality.seam_count:
        return
    if not quality.seams:
        yield Sentence("unknown", f"Whether there are seams was not measured: {quality.why['seam']}.")
        return
    worst = max(quality.seams, key=lambda seam: seam.after)
    looked = (
        "" if len(quality.seams) == quality.seam_count else f", of the {len(quality.seams)} that were looked at"
    )
    if worst.after <= _SEAM_NOTED:
        yield Sentence(
            "good", f"No seam stands out: the largest is {worst.after:.2f} times the usual change{looked}."
        )
        return
    yield Sentence(
        "bad" if worst.after > _SEAM else "note",
        f"Where one window or chunk takes over from another the depth jumps: at its worst {worst.after:.2f} times "
        f"the usual change{looked}.",
        "Merge again with --overwrite and --align joint, or --align smooth for independent chunks.",
        worst.frame,
    )


def _flicker(quality: Quality) -> Iterator[Sentence]:
    if not quality.flickers:
        yield Sentence("unknown", f"How much it flickers was not measured: {quality.why['flicker']}.")
        return
    usual, frame = float(quality.values["flicker"] or 0), max(quality.flickers, key=quality.flickers.__getitem__)
    pairs = f"in {len(quality.flickers)} pairs of frames"
    if usual <= _FLICKER_NOTED:
        yield Sentence(
            "good", f"It is steady: along the motion depth changes by {usual:.2%} of its range, {pairs}."
        )
        return
    yield Sentence(
        "bad" if usual > _FLICKER else "note",
        f"It flickers: along the motion depth changes by {usual:.2%} of its range, {pairs}; by "
        f"{quality.flickers[frame]:.2%} at its worst.",
        "A larger model is steadier, and so is a larger --input-size; film grain and cuts flicker as well.",
        frame,
    )


def _drift(quality: Quality, record: DepthRecord) -> Iterator[Sentence]:
    drift = quality.values["drift"]
    if drift is None:
        yield Sentence("unknown", f"Whether the scale wanders was not measured: {quality.why['drift']}.")
    elif drift > _DRIFT_NOTED:
        joint = record.settings.get("align") == "joint"
        yield Sentence(
            "bad" if drift > _DRIFT else "note",
            f"The scale wanders by {drift:.1%} over the film.",
            "" if joint else "Merge again with --overwrite --align joint, which fits all windows together.",
        )


def _pieces(quality: Quality) -> Iterator[Sentence]:
    if quality.values["untied"]:
        yield Sentence(
            "bad",
            f"Nothing tells the scale of what lies behind {int(quality.values['untied'])} overlaps of chunks.",
            "Compute the film in linked chunks (the default), or with a larger --overlap.",
        )


def _holes(quality: Quality) -> Iterator[Sentence]:
    invalid = quality.values["invalid"]
    if invalid is None:
        yield Sentence("unknown", f"How much has no depth was not measured: {quality.why['invalid']}.")
    elif invalid > _INVALID:
        yield Sentence(
            "bad",
            f"{invalid:.1%} of the pixels have no depth.",
            "The merge's remarks say which frames; metres beyond the codes' range need a smaller --depth-scale.",
        )
