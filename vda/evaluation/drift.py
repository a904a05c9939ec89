"""How far the scale of a film's depth wanders, without any truth: by the frames that several windows see.

In: a scene, its plan, the record of its merged depth. Out: ``Wandering``. Every window shows the first frame of
its sequence again, in slot 0, and eight frames of the window before it (``scene.windows``). Scaled as the merge
scaled them, two windows show one frame equally large, or the scale has wandered between them. This file does not
know what is good enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vda.depthmaps.codes import DepthRecord
from vda.errors import DamagedWindowError
from vda.evaluation.steadiness import NotMeasured
from vda.scene.chunks import Plan
from vda.scene.rawwindows import RawWindow
from vda.scene.scene import Scene
from vda.scene.windows import ANCHOR_SLOTS, BLEND_FRAMES, WINDOW_STEP
from vda.scene.windowstore import WindowStore

# First, middle and last of the frames that two neighbours share: those between are much like them.
_SHARED_SLOTS = (ANCHOR_SLOTS, ANCHOR_SLOTS + BLEND_FRAMES // 2, ANCHOR_SLOTS + BLEND_FRAMES - 1)
# A spread of 1e-3 of the size: less says nothing of a scale, for the raw windows' own rounding is near.
_FLAT = 1e-3


@dataclass(frozen=True)
class Wandering:
    """Log scales: ``again`` of each window, by the first frame, from the middle of its sequence's; ``steps`` of
    each window over the one before it, by the frames that both have.

    What a log scale is of: the standard deviation of relative depth, which no shift changes, and the mean log of
    metric depth.
    """

    again: tuple[float, ...]
    steps: tuple[float, ...]

    @property
    def drift(self) -> float:
        """The standard deviation of a frame's log scale over the film, estimated; 0 where there is one window.

        It is sqrt((std(again)**2 + std(steps)**2) / 2 + mean(steps)**2 / 12), of one of the two where the other is
        not known. Where scales are independent from window to window, either standard deviation says by how much:
        ``again`` misses what a window does behind its anchors, ``steps`` counts each change twice, and their mean
        square is nearest to the truth (the table in docs/evaluation.md). The last term is the variance of a
        sawtooth: a scale that grows alike in every window.
        """
        known = [float(np.var(logs)) for logs in (self.again, self.steps) if logs]
        sawtooth = float(np.mean(self.steps)) ** 2 / 12 if self.steps else 0.0
        return float(np.sqrt(np.mean(known) + sawtooth)) if known else 0.0


def wandering(scene: Scene, plan: Plan, record: DepthRecord) -> Wandering:
    """Measure the windows of ``scene``; those in which a frame is flat say nothing and are left out.

    Raises ``NotMeasured`` where the raw windows are not there, are none of this project's, or say nothing at all.
    """
    run = scene.run_record()
    if run is None:
        raise NotMeasured("the depth was made by another program, whose windows are not known")
    if plan.chunking != "linked":
        raise NotMeasured("independent chunks see no frame of the first chunk again")
    if record.quantizer.kind == "depth" and not run.metric:
        raise NotMeasured("the depth was turned into metres after its windows were joined")
    store = WindowStore.of(scene, run)
    again, steps = list[float](), list[float]()
    try:
        for sequence, shot in zip(plan.sequences, record.shots, strict=True):
            logs = _Logs(store, sequence.index, shot.get("scale") or [], metric=run.metric)
            again += _from_their_middle(logs.of_first_frame())
            steps += _known(logs.of_steps())
    except DamagedWindowError as error:
        raise NotMeasured("the raw windows are no longer there, or are damaged") from error
    if not again and not steps:
        raise NotMeasured("what the windows share is flat, and says nothing of their scale")
    return Wandering(tuple(again), tuple(steps))


@dataclass(frozen=True)
class _Logs:
    """The log scales of the windows of one sequence, whose raw depth the merge multiplied by ``scales``."""

    store: WindowStore
    sequence: int
    scales: Sequence[float]
    metric: bool

    def of_first_frame(self) -> list[float]:
        return [self._log(k, (0,)) for k in range(len(self.scales))]

    def of_steps(self) -> list[float]:
        before = tuple(slot + WINDOW_STEP for slot in _SHARED_SLOTS)
        return [self._log(k, _SHARED_SLOTS) - self._log(k - 1, before) for k in range(1, len(self.scales))]

    def _log(self, k: int, slots: Sequence[int]) -> float:
        window = self.store.open((self.sequence, k))
        size = _log_mean(window, slots) if self.metric else _log_spread(window, slots)
        return size + float(np.log(self.scales[k])) if self.scales[k] > 0 else float("nan")


def _log_spread(window: RawWindow, slots: Sequence[int]) -> float:
    values = np.stack([window.slot(slot) for slot in slots]).astype(np.float64)
    spread = float(values.std())
    return float(np.log(spread)) if spread > _FLAT * float(np.abs(values).max()) else float("nan")


def _log_mean(window: RawWindow, slots: Sequence[int]) -> float:
    values = np.stack([window.slot(slot) for slot in slots]).astype(np.float64)
    return float(np.log(values[values > 0]).mean()) if (values > 0).any() else float("nan")


def _known(logs: Sequence[float]) -> list[float]:
    return [log for log in logs if np.isfinite(log)]


def _from_their_middle(logs: Sequence[float]) -> list[float]:
    known = _known(logs)
    return [log - float(np.median(known)) for log in known]
