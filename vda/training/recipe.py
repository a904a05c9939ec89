"""The plan of a training run as immutable values: phases, batch shapes, learning rate at each step.

Arithmetic only: nothing here knows of tensors, worlds or files.
"""

from dataclasses import dataclass, replace

import numpy as np

from vda.training.losses import LossWeights

Size = tuple[int, int]

# Keeps the draw of a step's phase apart from those of its batch.
_PHASE_DRAW = 1 << 20


@dataclass(frozen=True)
class Phase:
    """``share`` of the steps, each with ``clips`` clips of ``slots`` frames at one of ``sizes`` (H, W)."""

    name: str
    share: float
    clips: int
    slots: int
    sizes: tuple[Size, ...]
    weights: LossWeights
    frozen_encoder: bool = False


# Heights and widths, multiples of 16, in the clips' aspect and in others. None is below 80, where a bfloat16
# convolution of oneDNN reads beyond its input (docs/decisions.md).
SMALL = ((80, 144), (80, 128), (96, 128), (96, 160), (112, 112), (128, 80))
LARGE = ((128, 224), (144, 256), (128, 176), (144, 192), (128, 128), (192, 128))
WINDOW = ((80, 144), (80, 128), (96, 128), (112, 112))

# Still frames teach layout cheaply, so most steps are theirs; a few are as large as at inference.
TRUNK = (
    Phase("frames", 0.9, 16, 1, SMALL, LossWeights()),
    Phase("large frames", 0.1, 10, 1, LARGE, LossWeights()),
)
# Then, while the rate falls, ever more like inference, and whole windows last. There one clip fills a batch, and
# alike frames would spoil what the encoder knows: it is frozen, which also halves the time.
COOLING = (
    replace(TRUNK[0], share=0.5),
    replace(TRUNK[1], share=0.35),
    Phase("windows", 0.15, 1, 32, WINDOW, LossWeights(temporal=2.0), frozen_encoder=True),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the code: the same recipe gives the same run on a CPU.

    The last ``cooling`` of ``steps`` are the cool-down. Before it a run does not know how long it is: it may be
    resumed with other ``steps``, and a cool-down may branch off at any of its checkpoints while it goes on itself.
    """

    seed: int = 0
    steps: int = 3000
    cooling: int = 1200
    rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.05
    average: float = 0.995
    phases: tuple[Phase, ...] = TRUNK
    last_phases: tuple[Phase, ...] = COOLING

    def phase_at(self, step: int) -> Phase:
        """The phase of step ``step`` (from 0): drawn by share, or in turn while it cools."""
        cooled = step - (self.steps - self.cooling)
        if cooled < 0:
            return _phase(self.phases, np.random.default_rng([self.seed, step, _PHASE_DRAW]).random())
        return _phase(self.last_phases, cooled / self.cooling)

    def rate_at(self, step: int) -> float:
        """Learning rate: linear warm-up, constant, then down to nothing as 1 - sqrt(share of the cool-down).

        The shape of the fall is that of Hägele and others (arXiv 2405.18392), who found it better than a line.
        """
        rising = (step + 1) / self.warmup
        cooled = max(step - (self.steps - self.cooling), 0) / max(self.cooling, 1)
        return self.rate * min(rising, 1.0 - min(cooled, 1.0) ** 0.5)


def _phase(phases: tuple[Phase, ...], place: float) -> Phase:
    """The phase at ``place`` (0 to 1) of all, each as long as its share."""
    reached = 0.0
    for phase in phases:
        reached += phase.share
        if place < reached:
            return phase
    return phases[-1]
