"""The picture of a training run: its CSV log in, a small PNG out. It knows nothing else."""

import csv
from itertools import groupby
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from vda.files import atomic_path

SMOOTHED_OVER = 50


def draw_curves(log: Path, judged: Path, picture: Path) -> None:
    """Draw the training loss by phase and, where the file ``judged`` exists, AbsRel and delta1 beside it."""
    with log.open() as handle:
        # A run that was killed repeats the steps since its checkpoint: the last of each counts.
        rows = list({row["step"]: row for row in csv.DictReader(handle)}.values())
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), dpi=90)
    for name, group in groupby(rows, key=lambda row: row["phase"]):
        _draw_phase(left, name, list(group))
    left.set(xlabel="step", ylabel="loss", title="training loss (smoothed)")
    left.legend(fontsize=8)
    _draw_judged(right, judged)
    figure.tight_layout()
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)


def _draw_phase(axes: plt.Axes, name: str, rows: list[dict[str, str]]) -> None:
    steps = np.array([int(row["step"]) for row in rows])
    losses = np.array([float(row["loss"]) for row in rows])
    span = min(SMOOTHED_OVER, len(losses))
    smooth = np.convolve(losses, np.ones(span) / span, mode="valid")
    axes.plot(steps[span - 1 :], smooth, label=name)


def _draw_judged(axes: plt.Axes, judged: Path) -> None:
    axes.set(xlabel="step", title="validation stills")
    if not judged.exists():
        return
    with judged.open() as handle:
        rows = list(csv.DictReader(handle))
    steps = [int(row["step"]) for row in rows]
    for key in ("absrel", "delta1"):
        axes.plot(steps, [float(row[key]) for row in rows], label=key)
    axes.legend(fontsize=8)
