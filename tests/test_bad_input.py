"""What a user can get wrong: two sentences, the right exit code, and nothing finished is lost."""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import make_clip, make_sound
from depth_runs import make_video, make_weights, run_options, vda, vda_here


def complaint(result: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """Check the form of the complaint and return it: no traceback, a problem and a remedy."""
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert lines[-2].startswith("Error: ")
    assert len(lines[-1]) > 10
    return "\n".join(lines[-2:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind of file that is no video."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "directory").mkdir()
    (folder / "text.mp4").write_text("This is not a video.\n" * 100)
    (folder / "empty.mp4").write_bytes(b"")
    make_sound(folder / "sound.mp4")
    make_video(folder / "good.mp4", 30)
    return folder


@pytest.mark.parametrize("name", ["absent.mp4", "directory", "text.mp4", "empty.mp4", "sound.mp4"])
def test_what_is_no_video_is_refused_by_name(folder: Path, tmp_path: Path, name: str) -> None:
    result = vda("split", folder / name, "--scene", tmp_path / "scene", "--devices", "cpu")
    assert name in complaint(result, 2)
    assert not (tmp_path / "scene").exists()


def test_a_truncated_video_is_used_up_to_the_break_and_it_is_said(folder: Path, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", range(60), muxer={"movflags": "faststart"}).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    result = vda("split", cut, "--scene", tmp_path / "scene", "--devices", "cpu", "--chunks", 1)
    assert result.returncode == 0, result.stderr
    frames = int(result.stdout.split()[0])
    assert 10 < frames < 60
    assert "cut" in result.stderr


def planned(folder: Path, tmp_path: Path) -> Path:
    scene = tmp_path / "scene"
    assert vda_here("split", folder / "good.mp4", "--scene", scene, "--devices", "cpu", "-q").returncode == 0
    return scene


class Evil:
    """Unpickled by a careless program, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def bad_checkpoints(tmp_path: Path) -> dict[str, Path]:
    good = make_weights(tmp_path / "good.safetensors")
    paths = {name: tmp_path / f"{name}.pth" for name in ("evil", "evil-zip", "list", "truncated", "other")}
    paths["evil"].write_bytes(pickle.dumps(Evil(tmp_path / "executed")))
    with zipfile.ZipFile(paths["evil-zip"], "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(tmp_path / "executed")))
        archive.writestr("archive/version", "3")
    torch.save([1, 2, 3], paths["list"])
    torch.save({"pretrained.cls_token": torch.zeros(1, 1, 7)}, paths["other"])
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(good.read_bytes()[:100_000])
    return {**paths, "truncated": truncated}


def test_checkpoints_that_are_none_are_refused_and_never_executed(folder: Path, tmp_path: Path) -> None:
    scene = planned(folder, tmp_path)
    for name, path in bad_checkpoints(tmp_path).items():
        result = vda_here("run", scene, "--model", "mini", "--weights", path, "--devices", "cpu", "--on", "inline")
        assert path.name in complaint(result, 2), name
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("size", [0, -5])
def test_an_input_size_must_be_positive(folder: Path, tmp_path: Path, size: int) -> None:
    scene = planned(folder, tmp_path)
    weights = make_weights(tmp_path / "mini.safetensors")
    result = vda_here(
        "run", scene, "--model", "mini", "--weights", weights, "--input-size", size, "--devices", "cpu"
    )
    assert str(size) in complaint(result, 2)


def test_a_scene_that_is_none_is_refused(tmp_path: Path) -> None:
    for command in ("run", "merge", "status", "stop", "clean"):
        assert "vda split" in complaint(vda_here(command, tmp_path), 2), command


def test_a_name_that_no_file_can_have_is_refused() -> None:
    for command in ("split", "status", "depth"):
        assert "too long" in complaint(vda_here(command, "a" * 300), 2), command


def test_merging_what_is_not_computed_names_the_chunks(folder: Path, tmp_path: Path) -> None:
    scene = planned(folder, tmp_path)
    assert "chunk 0" in complaint(vda_here("merge", scene), 1)


def test_a_write_that_fails_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    """By a limit on the size of files, which is said for what it is and not taken for a full disk."""
    scene = planned(folder, tmp_path)
    weights = make_weights(tmp_path / "mini.safetensors")
    command = ["run", scene, *run_options(weights), "--devices", "cpu", "--on", "inline", "-q"]
    assert vda_here(*command).returncode == 0
    done = {path: path.read_bytes() for path in (scene / "vda_windows").iterdir()}
    limited = subprocess.run(
        ["bash", "-c", f"ulimit -f 1; trap '' XFSZ; exec {sys.executable} -m vda merge {scene} --format npz"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert "ulimit -f" in complaint(limited, 1)
    assert {path: path.read_bytes() for path in (scene / "vda_windows").iterdir()} == done
    assert not (scene / "vda_merged_depth" / "depth.json").exists()
    assert vda_here("merge", scene, "--format", "npz").returncode == 0
    assert np.load(scene / "vda_merged_depth" / "depths.npz")["depths"].shape == (30, 48, 80)
