"""The whole pipeline measured against truth: what is stored and merged is as good as what is computed."""

import json
from pathlib import Path

import numpy as np
from depth_runs import check, vda_here
from pictures import read_codes

from vda.metrics import Figures, measure
from vda.models.weights import find_weights
from vda.training.inmemory import video_depth
from vda.training.judge import loaded
from vda.video import index_frames, probe, read_frames

FRAMES, INPUT_SIZE, CAP_M = 50, 64, 10.0
STILL_BETTER = 1.02


def in_memory(made: Path) -> Figures:
    """The same windows, joined without ever touching a disk, against the same truth."""
    info = probe(made / "video.mp4")
    frames = np.stack([frame.rgb for frame in read_frames(info, index_frames(info), 0, FRAMES)])
    truth = [read_codes(path) for path in sorted((made / "depth").glob("*.png"))]
    depth_m = np.stack(truth).astype(np.float32) / 1000
    masks = [np.ones(depth_m.shape[1:], bool)] * FRAMES
    weights = find_weights("mini")
    assert weights is not None
    return measure(video_depth(loaded(weights.path), frames, INPUT_SIZE), depth_m, masks, cap_m=CAP_M)


def test_files_cost_no_accuracy(tmp_path: Path) -> None:
    made, scene = tmp_path / "made", tmp_path / "scene"
    check(vda_here("synth", made, "--seed", 1, "--frames", FRAMES, "--size", "160x96", "--style", "room", "-q"))
    options = [
        "--model",
        "mini",
        "--input-size",
        INPUT_SIZE,
        "--threads",
        1,
        "--devices",
        "cpu",
        "--on",
        "inline",
        "-q",
    ]
    check(vda_here("depth", made / "video.mp4", "--scene", scene, *options))
    report = check(vda_here("eval", scene, made / "depth", "--truth-scale", 1000, "--cap", CAP_M, "--json"))
    figures = json.loads(report.stdout)
    stored, computed = figures["depth"], in_memory(made)
    # Depth that is no better than none would not notice what is lost on the way.
    assert computed.abs_rel < 0.7 * figures["baselines"]["constant"]["abs_rel"]
    assert stored["pixels"] == computed.pixels > 0
    assert stored["abs_rel"] < STILL_BETTER * computed.abs_rel
    assert stored["rmse"] < STILL_BETTER * computed.rmse
    assert stored["delta1"] > computed.delta1 / STILL_BETTER
