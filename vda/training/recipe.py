"""The plan of a training run as immutable values: phases, batch shapes, learning rate at each step.

Arithmetic only: nothing here knows of tensors, worlds or files.
"""

from dataclasses import dataclass

from vda.training.losses import LossWeights

Size = tuple[int, int]


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

# Still frames teach layout cheaply; then frames as large as at inference; then whole windows. There one clip
# fills a batch, and alike frames would spoil what the encoder knows: it is frozen, which also halves the time.
PHASES = (
    Phase("frames", 0.82, 16, 1, SMALL, LossWeights()),
    Phase("large frames", 0.12, 10, 1, LARGE, LossWeights()),
    Phase("windows", 0.06, 1, 32, WINDOW, LossWeights(temporal=2.0), frozen_encoder=True),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the code: the same recipe gives the same run on a CPU."""

    seed: int = 0
    steps: int = 3000
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.4
    weight_decay: float = 0.05
    average: float = 0.995
    phases: tuple[Phase, ...] = PHASES

    def phase_at(self, step: int) -> Phase:
        """The phase that step ``step`` (from 0) belongs to."""
        reached = 0.0
        for phase in self.phases:
            reached += phase.share
            if step < round(reached * self.steps):
                return phase
        return self.phases[-1]

    def rate_at(self, step: int) -> float:
        """Learning rate: linear warm-up, constant, then down to nothing over the last ``decay`` of the steps.

        Until the decay begins a run does not know how long it is, so it may be resumed with other ``steps``.
        """
        rising = (step + 1) / self.warmup
        falling = (self.steps - step) / (self.decay * self.steps)
        return self.rate * max(min(rising, falling, 1.0), 0.0)
