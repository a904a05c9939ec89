"""What a merge on a cluster is asked for: the same as on this machine, and refused where it could not be."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vda.cli import main
from vda.merging.fits import PartsLeft
from vda.merging.settings import MergeSettings

SETTINGS: list[dict[str, Any]] = [
    {},
    {"formats": ("png8", "npz"), "create_video": True, "colormap": "viridis", "side_by_side": True},
    {"overwrite": True, "align": "smooth", "refine": "guided", "coding": "log"},
    {"depth_scale": 5000.0, "metres": (0.25, -0.001), "kind": "depth", "input_scale": 2.5, "allow_gaps": True},
    {
        "formats": ("exr", "sbs"),
        "exr": "rgb",
        "exr_layer": "depth",
        "exr_type": "half",
        "exr_compression": "pxr24",
    },
    {"formats": ("sbs", "png16"), "parallax": 3.5, "convergence": 0.25, "eyes": "right", "by_order": True},
]


@pytest.mark.parametrize("given", SETTINGS)
def test_a_jobs_options_ask_for_the_same(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[MergeSettings] = []
    monkeypatch.setattr("vda.api.pipeline.merge_scene", lambda scene, settings, **more: asked.append(settings))
    CliRunner().invoke(main, ["merge", "scene", *MergeSettings(**given).words()])
    assert asked == [MergeSettings(**given)]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--ranges", "3"], "--ranges is of no use with --on local"),
        (["--slurm", "time=1"], "--slurm is of no use"),
        (["--on", "ray", "--detach"], "--detach is of no use with --on ray"),
        (["--on", "slurm", "--ray-address", "x"], "--ray-address is of no use with --on slurm"),
        (["--on", "slurm", "--part", "fits"], "--part is one part"),
        (["--on", "slurm", "--detach", "--discard-windows"], "--discard-windows removes"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(words: list[str], problem: str, tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["merge", str(tmp_path), *words])
    assert (told.exit_code, problem in told.stderr) == (2, True), told.stderr


def test_ranges_are_those_with_something_missing() -> None:
    left = PartsLeft(None, (0, 7, 8), 10, 155)
    # Ten blocks in four ranges are 0:2, 2:5, 5:7 and 7:10.
    assert left.ranges(4) == [0, 3]
    assert [PartsLeft(None, (block,), 10, 160).ranges(3) for block in (2, 3, 5, 6)] == [[0], [1], [1], [2]]
    assert PartsLeft(None, (), 10, 160).ranges(4) == []
