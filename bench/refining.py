"""Guided refinement of the built-in model's depth, on rendered worlds with their truth and on RGB-D folders.

``python -m bench.refining --cache FOLDER [RGBD ...]`` prints the table of ``docs/mini.md``: without and with it.
AbsRel by the protocol of evaluation; precision and recall of depth edges within three pixels; flicker is how much
the error of inverse depth changes from frame to frame, in per cent of the truth's spread.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from vda.metrics.boundaries import depth_edges
from vda.metrics.masks import inside_border, valid_truth
from vda.metrics.video import VideoMetrics
from vda.refining.guided import GuidedFilter
from vda.training.__main__ import SHIPPED
from vda.training.cache import HELD_OUT_SEED, Clip
from vda.training.inmemory import video_depth
from vda.training.judge import Sample, loaded, rgbd_folder, synthetic

Floats = NDArray[np.floating]

WORLDS = (0, 3, 6, 7, 8, 12, 17, 18, 20, 23)
FRAMES, HEIGHT, WIDTH = 20, 360, 640
INPUT_SIZE = 112
NEAR_PX = 3


def measure() -> Iterator[Figure]:
    random = np.random.default_rng(0)
    for height, width in ((360, 640), (1080, 1920)):
        picture = random.integers(0, 256, (height, width, 3), np.uint8)
        depth = random.random((height, width), np.float32)
        refine = GuidedFilter.for_network(INPUT_SIZE)
        began = time.process_time()
        for _ in range(5):
            refine(depth, picture)
        yield Figure(f"guided refinement, {width}x{height}, CPU", (time.process_time() - began) / 5e-3, "ms")


def figures(sample: Sample, depth: Floats) -> list[float]:
    """AbsRel, delta1, precision and recall of edges, flicker."""
    masks = [inside_border(truth.shape, sample.border) for truth in sample.depth_m]
    metrics = VideoMetrics("inverse_depth", cap_m=sample.cap_m)
    for frame, truth, mask in zip(depth, sample.depth_m, masks, strict=True):
        metrics.fit(frame, truth, mask)
    upright = sample.figures(lambda rgb: np.asarray(depth)).right_way_up
    found, true, hits, met, changes, before = 0, 0, 0, 0, [], None
    spread = float(np.nanstd(1 / sample.depth_m[np.isfinite(sample.depth_m) & (sample.depth_m > 0)]))
    for frame, truth, mask in zip(depth, sample.depth_m, masks, strict=True):
        counts = valid_truth(truth, sample.cap_m) & mask
        ours = metrics.depth(frame, truth, mask)
        edges, wanted = depth_edges(ours, counts), depth_edges(np.where(counts, truth, 0), counts)
        found, true = found + int(edges.sum()), true + int(wanted.sum())
        hits += int((edges & _near(wanted)).sum())
        met += int((wanted & _near(edges)).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(counts, 1 / ours - 1 / truth, np.nan)
        if before is not None:
            changes.append(float(np.nanmean(np.abs(error - before))))
        before = error
    precision, recall = hits / found if found else np.nan, met / true if true else np.nan
    return [upright.abs_rel, upright.delta1, precision, recall, 100 * float(np.mean(changes)) / spread]


def _near(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR_PX + 1,) * 2)
    return np.asarray(cv2.dilate(edges.astype(np.uint8), kernel)) > 0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("rgbd", type=Path, nargs="*")
    wanted = parser.parse_args(arguments)
    model, refine = loaded(SHIPPED), GuidedFilter.for_network(INPUT_SIZE)
    clips = (Clip(HELD_OUT_SEED + world, FRAMES, HEIGHT, WIDTH) for world in WORLDS)
    print("| | AbsRel | delta1 | precision | recall | flicker |\n|---|---|---|---|---|---|")
    for sample in (*(synthetic(wanted.cache, clip) for clip in clips), *map(rgbd_folder, wanted.rgbd)):
        depth = video_depth(model, sample.rgb, INPUT_SIZE)
        refined = np.stack([refine(frame, picture) for frame, picture in zip(depth, sample.rgb, strict=True)])
        pairs = zip(figures(sample, depth), figures(sample, refined), strict=True)
        print(f"| {sample.name} | {' | '.join(f'{a:.4f}, {b:.4f}' for a, b in pairs)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
