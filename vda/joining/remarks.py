"""What a person should know of how windows and chunks fit, in sentences.

In: a part of a scene's depth, and the plan that names its frames. Out: sentences, none where all is as expected.
What it needs to know the parts measure.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from vda.joining.framed import FramedDepth
from vda.joining.pieces import BlendedPieces, FrameDepth
from vda.joining.sequence import SequenceDepth
from vda.joining.ties import Tie
from vda.scene.chunks import Plan
from vda.scene.windows import Window

# Of the range of depth. The 39 overlaps of 14 real films, computed independently, are left with 0.0127 at most.
_CLEAN: Final = 0.02
# Enough to find the place by; depth.json has all.
_NAMED = 10
# A step of 2 % is 10 cm at 5 m; windows of the built-in model differ by 0.2 to 1.7 %.
_SEEN_STEP = 1.02


def joining_remarks(part: FrameDepth, plan: Plan) -> Iterator[str]:
    """Yield what is to be said of ``part``, whose frames are places of ``plan``."""
    if isinstance(part, BlendedPieces):
        yield from _of_pieces(part, plan)
        for piece in part.pieces:
            yield from joining_remarks(piece.depth, plan)
    elif isinstance(part, FramedDepth):
        yield from joining_remarks(part.part, plan)
    elif isinstance(part, SequenceDepth):
        yield from _of_windows(part, plan)


def _of_windows(part: SequenceDepth, plan: Plan) -> Iterator[str]:
    turned = [k for k, fit in enumerate(part.fits) if fit.scale < 0]
    if turned:
        frames = [str(plan.frame(Window(part.start, part.stop, k).kept.start)) for k in turned]
        yield (
            f"The fit of {len(turned)} of {len(part.fits)} windows is upside down (a negative scale): near "
            f"and far change places at the frames {_listed(frames)}. Compare with --align joint."
        )
    if part.untied:
        frames = [_frames(Window(part.start, part.stop, k), plan) for k in part.untied]
        yield (
            f"{len(part.untied)} of {len(part.fits)} windows could not be tied to the others "
            f"(frames {_listed(frames)}): they keep their neighbours' median scale."
        )
    if part.unrelated:
        frames = [str(plan.frame(Window(part.start, part.stop, k).frame_indices[1])) for k in part.unrelated]
        yield (
            f"{len(part.unrelated)} of {len(part.fits)} windows have nothing in common with the one before where "
            f"they meet, as in black, fog or noise (frames {_listed(frames)}): the scale behind may be another. "
            "Give --align joint, which passes over such windows."
        )
    steps = part.metric_steps
    if steps and max(steps) > _SEEN_STEP:
        yield (
            f"Windows of this metric depth differ by up to {100 * (max(steps) - 1):.0f} % where they meet "
            f"(half of them by more than {100 * (float(np.median(steps)) - 1):.1f} %). "
            "Give --align joint for a scale per window."
        )


def _frames(window: Window, plan: Plan) -> str:
    return f"{plan.edge(window.kept.start)}:{plan.edge(window.kept.stop)}"


def _of_pieces(part: BlendedPieces, plan: Plan) -> Iterator[str]:
    cuts = [_pair(part, tie) for tie in part.ties if tie.is_hard_cut and tie.holds]
    if cuts:
        yield (
            f"Chunks without a frame in common were fitted by the last frame of the one and the first of the "
            f"next, and are not blended: {_listed(cuts)}."
        )
    for tie in part.ties:
        yield from _of_tie(part, tie, plan)
    yield from _of_what_is_left(part)
    for number, piece in enumerate(part.pieces):
        if part.smooth and part.smooth[number] is None and number not in part.untied:
            yield (
                f"Chunk {piece.chunk} was not mended: smooth terms that fit its overlaps would turn near and far "
                "round somewhere in the picture."
            )
    for number in part.untied:
        piece = part.pieces[number]
        yield (
            f"Chunk {piece.chunk} (frames {plan.edge(piece.start)}:{plan.edge(piece.stop)}) could not be tied to "
            f"the others: it keeps its neighbours' median scale, {part.fits[number].scale:.4g}."
        )


def _of_what_is_left(part: BlendedPieces) -> Iterator[str]:
    left = [
        f"{_pair(part, tie)} ({tie.residual.smooth:.1%})"
        for tie in part.ties
        if tie.residual is not None and tie.residual.smooth > _CLEAN
    ]
    if left:
        yield (
            f"Chunks differ by more than scale and shift: {_listed(left)}. That much of the range of depth is "
            f"left in their overlap, smooth over the picture or its values"
            f"{', after the smooth terms' if part.smooth else '; --align smooth may mend it'}."
        )


def _of_tie(part: BlendedPieces, tie: Tie, plan: Plan) -> Iterator[str]:
    chunks, frames = _pair(part, tie), f"frames {plan.edge(tie.start)}:{plan.edge(tie.stop)}"
    if 0 < tie.shared < tie.planned:
        yield (
            f"Chunks {chunks} share {tie.shared} frames instead of {tie.planned} ({frames}): "
            "the others are missing."
        )
    elif tie.is_hard_cut and tie.planned:
        yield f"Chunks {chunks} share no frame of {tie.planned}: all are missing in one of them."
    if tie.verdict == "opposed":
        yield (
            f"Chunks {chunks} do not agree on what is near ({frames}): one of them may hold depth where the other "
            "holds inverse depth."
        )
    elif tie.verdict != "fitted":
        yield f"Chunks {chunks} share nothing that says their scale: {_WHY[tie.verdict]} ({frames})."


_WHY = {
    "constant": "the depth of one of them is constant there",
    "unrelated": "their depth there has nothing to do with each other's",
    "nothing shared": "no frame, nor two frames near each other, has depth in both",
}


def _pair(part: BlendedPieces, tie: Tie) -> str:
    return f"{part.pieces[tie.first].chunk} and {part.pieces[tie.first + 1].chunk}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if names[_NAMED:] else "")
