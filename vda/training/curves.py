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


def draw_curves(log: Path, picture: Path) -> None:
    """Draw the training loss by phase, smoothed: the phases' losses are not on one scale."""
    with log.open() as handle:
        # A run that was killed repeats the steps since its checkpoint: the last of each counts.
        rows = list({row["step"]: row for row in csv.DictReader(handle)}.values())
    figure, axes = plt.subplots(figsize=(6, 3), dpi=90)
    names = list(dict.fromkeys(row["phase"] for row in rows))
    for name, group in groupby(rows, key=lambda row: row["phase"]):
        _draw_phase(axes, name, names.index(name), list(group))
    axes.set(xlabel="step", ylabel="loss", title="training loss (smoothed)")
    # A run that was lengthened goes back to an earlier phase: one entry for all its pieces.
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(named.values(), named.keys(), fontsize=8)
    figure.tight_layout()
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)


def _draw_phase(axes: plt.Axes, name: str, colour: int, rows: list[dict[str, str]]) -> None:
    steps = np.array([int(row["step"]) for row in rows])
    losses = np.array([float(row["loss"]) for row in rows])
    span = min(SMOOTHED_OVER, len(losses))
    smooth = np.convolve(losses, np.ones(span) / span, mode="valid")
    axes.plot(steps[span - 1 :], smooth, label=name, color=f"C{colour}")
