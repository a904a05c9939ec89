"""How far the scale of a film's depth wanders, without any truth: by the first frame, which every window sees
again.

In: a scene, its plan, its merged depth's record. Out: a log scale for each window. Slot 0 of every window holds
the first frame of its sequence (``scene.windows``). With the scale and shift that the window got, it shows that
frame as the window's own depth would have it: if it is larger there than in window 0, the depth has grown on the
way. This file does not know what is made of it.
"""

from collections.abc import Iterator

import numpy as np

from vda.depthmaps.codes import DepthRecord
from vda.errors import DamagedWindowError
from vda.evaluation.steadiness import NotMeasured
from vda.joining.align import ScaleShift
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.scene.windowstore import WindowStore

# A spread of 1e-3 of the size: less says nothing of a scale, for the raw windows' own rounding is near.
_FLAT = 1e-3


def wandering(scene: Scene, plan: Plan, record: DepthRecord) -> list[float]:
    """The log scale of each window of ``scene`` against its sequence's, whose median is 0.

    That of window k is log(s(k) / s(0)), where s is the standard deviation of the first frame as the window has
    it, scaled as the merge did; for metric depth the mean of the frame's log depth takes its place. Windows in
    which the first frame is flat say nothing and are left out, and so are sequences whose own window 0 is such a
    one. Raises ``NotMeasured`` where the raw windows are not there, or are none of this project's.
    """
    run = scene.run_record()
    if run is None:
        raise NotMeasured("the depth was made by another program, whose windows are not known")
    if plan.chunking != "linked":
        raise NotMeasured("independent chunks see no frame again")
    if record.quantizer.kind == "depth" and not run.metric:
        raise NotMeasured("the depth was turned into metres after its windows were joined")
    store = WindowStore.of(scene, run)
    found: list[float] = []
    try:
        for sequence, shot in zip(plan.sequences, record.shots, strict=False):
            fits = [ScaleShift(*fit) for fit in zip(shot.get("scale") or (), shot.get("shift") or (), strict=True)]
            sizes = [_size(store, sequence.index, k, fit, run.metric) for k, fit in enumerate(fits)]
            found += _against_the_first(sizes)
    except DamagedWindowError as error:
        raise NotMeasured("the raw windows are no longer there, or are damaged") from error
    return found


def _size(store: WindowStore, sequence: int, k: int, fit: ScaleShift, metric: bool) -> float:
    """The log size of the first frame as window ``k`` has it; NaN where it is flat."""
    first = store.open((sequence, k)).slot(0).astype(np.float64)
    if metric:
        return float(np.log(first[first > 0]).mean()) if (first > 0).any() else float("nan")
    spread = float(first.std())
    if fit.scale <= 0 or spread <= _FLAT * float(np.abs(first).max()):
        return float("nan")
    return float(np.log(fit.scale * spread))


def _against_the_first(sizes: list[float]) -> Iterator[float]:
    if not sizes or not np.isfinite(sizes[0]):
        return
    known = [size - sizes[0] for size in sizes if np.isfinite(size)]
    middle = float(np.median(known))
    yield from (value - middle for value in known)
