"""The notebook and the scripts of docs/examples: whole by their formats, listed, and run as users run them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exampleworld import ROOT, SAMPLE

from vda.synth.render import render_frames

FOLDER = ROOT / "docs" / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def user_s_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}


def test_each_example_is_on_the_page_and_says_itself_what_it_is() -> None:
    page = (FOLDER / "README.md").read_text()
    for path in FOLDER.iterdir():
        assert path.suffix in (".md", ".py", ".ipynb") or path.name == "__pycache__", path
        assert path.suffix not in (".py", ".ipynb") or f"]({path.name})" in page, path
    for script in FOLDER.glob("*.py"):
        assert f"python docs/examples/{script.name}" in script.read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_whole_and_has_no_outputs(path: Path) -> None:
    """By the definition of nbformat 4.5: what it requires of a notebook and its cells, and that ids are unique."""
    book = json.loads(path.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"metadata", "nbformat", "nbformat_minor", "cells"}
    ids = [cell["id"] for cell in book["cells"]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in ids)
    for cell in book["cells"]:
        fields = {"id", "cell_type", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            fields |= {"outputs", "execution_count"}
        assert set(cell) == fields and all(isinstance(line, str) for line in cell["source"])


def code_of(path: Path) -> str:
    cells: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("sample.mp4", "sample_tracks.json"):
        (tmp_path / "data" / name).symlink_to(ROOT / "data" / name)
    told = subprocess.run(
        [sys.executable, "-c", code_of(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=user_s_environment(),
    )
    assert told.returncode == 0, told.stderr
    assert "m away" in told.stdout and "24 frames of 640 x 360" in told.stdout


@pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="half a minute: run by `make slow`")
def test_colmap_finds_where_the_sample_s_camera_was(tmp_path: Path) -> None:
    """Held against the truth after the best rotation, shift and scale (Umeyama 1991): none knows those."""
    import pycolmap

    script = [sys.executable, str(FOLDER / "colmap_poses.py"), str(ROOT / "data" / "sample.mp4"), str(tmp_path)]
    told = subprocess.run([*script, "--every", "5", "--fov", "57.3"], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    found = {int(image.name[6:12]): image.projection_center() for image in model.images.values()}
    assert len(found) == 50
    frames = render_frames(SAMPLE.world(), sorted(found), 16, 9, fps=25.0, samples=1)
    true = np.array([frame.camera_to_world[:3, 3] for frame in frames])
    places = np.array([found[number] for number in sorted(found)])
    way = np.linalg.norm(np.diff(true, axis=0), axis=1).sum()
    assert np.median(residuals(places, true)) < 0.005 * way


def residuals(places: np.ndarray, true: np.ndarray) -> np.ndarray:
    a, b = places - places.mean(0), true - true.mean(0)
    left, values, right = np.linalg.svd(b.T @ a)
    mirror = np.diag([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (values * np.diag(mirror)).sum() / (a**2).sum()
    residual: np.ndarray = np.linalg.norm(scale * a @ (left @ mirror @ right).T - b, axis=1)
    return residual
