"""How steady each of two results is by itself: seams and flicker, on the same frames and along the same motion.

In: two results. Out: a ``Steadiness`` for each. What can't be measured, because the depth is no scene's or its
video is gone, is None. This file measures nothing of its own: ``evaluation`` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vda.comparing.results import Result, Size, Together
from vda.depthmaps.colours import Rgb
from vda.errors import VdaError
from vda.evaluation.seams import seam_scores, spread
from vda.evaluation.steadiness import flicker
from vda.picture.framing import Framing
from vda.video import read_frame_list

# Each costs two decoded frames and their flow both ways; the median of these settles to a few percent.
_FLOW_PAIRS = 16


@dataclass(frozen=True)
class Steadiness:
    """``seam`` and ``seam_median`` are the largest and the median seam score of the merged depth (1: no seam).

    ``flicker`` is the median change of depth along the motion of the picture, over the depth's range in the frame;
    ``flicker_pairs`` counts the pairs of frames that it was measured in.
    """

    seam: float | None = None
    seam_median: float | None = None
    seams: int = 0
    flicker: float | None = None
    flicker_pairs: int = 0


def measure_steadiness(together: Together) -> tuple[Steadiness, Steadiness]:
    """Of A and of B: seams of each scene's own windows or chunks, and flicker in the same pairs of frames."""
    chosen = spread(together.neighbours(), _FLOW_PAIRS)
    seen = pictures_of(together, sorted({place for pair in chosen for place in pair}), together.size)
    usable = [pair for pair in chosen if pair[0] in seen and pair[1] in seen]
    depths = {place: together.read(place) for pair in usable for place in pair}

    def of(side: int, result: Result) -> Steadiness:
        pairs = ((seen[old], seen[new], depths[old][side], depths[new][side]) for old, new in usable)
        changes = list(flicker(pairs))
        seams = _seams(result)
        return Steadiness(
            max(seams) if seams else None,
            float(np.median(seams)) if seams else None,
            len(seams),
            float(np.median(changes)) if changes else None,
            len(changes),
        )

    return of(0, together.a), of(1, together.b)


def _seams(result: Result) -> list[float]:
    if result.scene is None or not result.scene.plan_path.is_file():
        return []
    return [seam.after for seam in seam_scores(result.scene, result.scene.plan(), result.source)]


def pictures_of(together: Together, places: Sequence[int], size: Size) -> dict[int, Rgb]:
    """The film's frames at ``places`` and of ``size``, from whichever result has a video to read."""
    for side, result in enumerate((together.a, together.b)):
        if result.scene is None or not result.scene.video_path.is_file():
            continue
        by_frame = {together.pairs[place][side]: place for place in places}
        try:
            whole = Framing.of(size)
            read = read_frame_list(*result.scene.film(), sorted(by_frame))
            return {by_frame[frame.index]: whole.resized(frame.rgb) for frame in read}
        except (VdaError, OSError):
            continue
    return {}
