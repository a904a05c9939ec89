"""Files that a crash, or a disk that lies, left torn: found, mended or refused in words, and never wrong depth.

Each file of a finished scene is cut short, turned to zeros, or another's; then commands look at it, and what their
sentence says is done. Raw windows are in ``test_damaged_windows`` as well.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from depth_runs import depth_digest, make_video, make_weights, run_keywords, run_options

import vda
from vda.cli import main

FRAMES = 30
TRACKS = "".join(f"{frame + 1},1,10,10,20,20,1,-1,-1,-1\n" for frame in range(FRAMES))
# Of a run that was killed: what a finished one has removed.
LEFT = {
    "vda_run/attempts.json": '{"0": {"attempts": 1, "device": "cpu"}}',
    "vda_run/fits_cpu.json": '{"encoder_batch": 1, "head_batch": 32, "features_on_host": false}',
    "vda_run/recomputed_node.jsonl": '{"window": [0, 0], "problem": "x", "instead": "fp32"}\n',
    "vda_run/pause.json": '{"reason": "the disk is full", "since": 1.0}',
    "vda_run/workers/cpu-1/settings.json": '{"device": "cpu", "threads": 1}',
    "vda_run/workers/cpu-1/order.json": '{"number": 1, "scene": "x", "chunk": 0}',
    "vda_run/workers/cpu-1/state.json": '{"name": "cpu-1", "device": "cpu", "pid": 1, "chunk": 0}',
    "vda_run/workers/cpu-1/proof.json": '{"device": "cpu", "refused": {}}',
}
TEARS: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "empty": lambda data: b"",
    "other": lambda data: b"[]",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("torn")
    return make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")


@pytest.fixture(scope="module")
def whole(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished scene, with what a killed run leaves beside."""
    root = tmp_path_factory.mktemp("whole") / "scene"
    vda.depth(files[0], scene=root, **run_keywords(files[1]))
    (root / "t.txt").write_text(TRACKS)
    for name, text in LEFT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def depth_again(files: tuple[Path, Path], root: Path) -> list[object]:
    options = [*run_options(files[1]), "--devices", "cpu", "--on", "inline", "--no-video", "-q"]
    return ["depth", files[0], "--scene", root, *options]


def commands(files: tuple[Path, Path], root: Path) -> list[list[object]]:
    up_to_scale = ["--allow-relative", "--fov", 60, "--overwrite", "-q"]
    return [
        ["status", root],
        ["monitor", root, "--once"],
        ["report", root],
        ["enrich", root, "--tracks", root / "t.txt", "--output", root / "o.txt", *up_to_scale],
        ["export", root, "--to", "ply", "--every", 29, "--output", root / "ply", *up_to_scale],
        ["run", root, *depth_again(files, root)[4:-2], "-q"],
    ]


def told(command: list[object]) -> Result:
    """Run a command; it ends well, or with two sentences."""
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
    lines = result.stderr.splitlines()
    assert not result.exit_code or any(line.startswith("Error: ") for line in lines[:-1]), (command, lines)
    assert "allow_pickle" not in result.stderr
    return result


def follow(result: Result, files: tuple[Path, Path], root: Path, torn: Path) -> None:
    """Do what the last sentence says."""
    remedy = result.stderr.splitlines()[-1]
    if "emove " in remedy:
        torn.unlink()
    if "vda split" in remedy:
        told(["split", files[0], "--scene", root, "--devices", "cpu", "-q"])
    if "--overwrite" in remedy:
        told(["merge", root, "--overwrite", "--no-video", "-q"])


def stamps(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.glob("vda_windows/window_*.npz")}


def tear(files: tuple[Path, Path], whole: Path, root: Path, name: str, way: str, *, every: bool) -> None:
    """Tear one file; no command meets a traceback, and the same command as at first gives the same depth."""
    shutil.copytree(whole, root)
    expected, before, torn = depth_digest(root), stamps(root), root / name
    data = TEARS[way](torn.read_bytes())
    for command in (*(commands(files, root) if every else ()), depth_again(files, root)):
        torn.parent.mkdir(parents=True, exist_ok=True)
        torn.write_bytes(data)
        result = told(command)
    if result.exit_code:
        follow(result, files, root, torn)
        assert told(depth_again(files, root)).exit_code == 0, (name, way, result.stderr)
    assert depth_digest(root) == expected, (name, way, result.stderr)
    before.pop(torn.name, None)
    assert before.items() <= stamps(root).items(), (name, way)


def names(root: Path) -> list[str]:
    found = [
        path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in ("t.txt", "report.html")
    ]
    images = [path for path in found if path.match("depth_0*.png")]
    return [str(path.relative_to(root)) for path in found if path not in images[1:]]


RECORDS = [
    "scene.json", "frame_index.npz", "vda_chunks/chunks_metadata.json", "vda_windows/run.json",
    "vda_windows/window_000_00001.npz", "vda_merged_depth/depth.json", "vda_merged_depth/depth_000003.png",
    "vda_run/attempts.json", "vda_run/holder.json",
]  # fmt: skip


@pytest.mark.parametrize(("name", "way"), [(name, list(TEARS)[n % 4]) for n, name in enumerate(RECORDS)])
def test_what_is_torn_is_mended_or_refused_and_the_depth_is_the_same(
    files: tuple[Path, Path], whole: Path, tmp_path: Path, name: str, way: str
) -> None:
    tear(files, whole, tmp_path / "scene", name, way, every=False)


def test_commands_that_look_at_torn_records_have_no_traceback(
    files: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    for name in RECORDS:
        shutil.copytree(whole, tmp_path / "scene")
        (tmp_path / "scene" / name).write_bytes(b"")
        for command in commands(files, tmp_path / "scene")[::3]:
            told(command)
        shutil.rmtree(tmp_path / "scene")


@pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="takes minutes: make slow")
@pytest.mark.parametrize("way", TEARS)
def test_every_file_may_be_torn(files: tuple[Path, Path], whole: Path, tmp_path: Path, way: str) -> None:
    for name in names(whole):
        tear(files, whole, tmp_path / "scene", name, way, every=True)
        shutil.rmtree(tmp_path / "scene")
