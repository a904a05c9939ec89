"""A limit of files' sizes (``ulimit -f``) is no full disk: said for what it is, at once, by whoever writes."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from depth_runs import make_video, make_weights, run_options, vda_here

from vda.depthmaps.files import NpyWriter, NpzWriter
from vda.errors import FileSizeError
from vda.files import append_line, atomic_path, storage_errors, write_bytes
from vda.scene.scene import Scene

KIB = 1 << 10
WORDS = r"may write files of 65,536 bytes at most \(ulimit -f\)"


@contextmanager
def limited(kib: int = 64) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib * KIB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def limited_vda(kib: int, *arguments: object) -> "subprocess.CompletedProcess[str]":
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({kib * KIB},) * 2);"
        "from vda.cli import main; main()"
    )
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_every_way_of_writing_says_it(tmp_path: Path) -> None:
    big = np.zeros((1, 200, 200), np.float32)

    def bytes_() -> None:
        write_bytes(tmp_path / "b", bytes(100 * KIB))

    def lines() -> None:
        append_line(tmp_path / "l", "a" * 100 * KIB)

    def numpy() -> None:
        path = tmp_path / "n.npy"
        with atomic_path(path) as temporary, storage_errors(path), temporary.open("wb") as handle:
            np.save(handle, big)

    def npy() -> None:
        with NpyWriter(tmp_path / "d.npy", (1, 200, 200)) as writer:
            writer.write(big[0])

    def npz() -> None:
        with NpzWriter(tmp_path / "d.npz", (1, 200, 200)) as writer:
            writer.write(big[0])

    for write in (bytes_, lines, numpy, npy, npz):
        with limited(), pytest.raises(FileSizeError, match=WORDS):
            write()
    # Nothing whole and nothing half is left, but the line that was torn, which readers pass over.
    assert [path.name for path in tmp_path.iterdir()] == ["l"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("limit")
    return make_video(folder / "v.mp4", 40), make_weights(folder / "w.safetensors")


def test_a_run_ends_at_its_first_window_and_goes_on_without_the_limit(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    root = tmp_path / "scene"
    assert not vda_here("split", files[0], "--scene", root, "--chunks", 2, "--devices", "cpu", "-q").returncode
    command = ("run", root, *run_options(files[1]), "--devices", "cpu", "--retries", 3)
    # Windows of 32 x 56 x 32 pixels have some 60 kB.
    ended = limited_vda(16, *command)
    assert ended.returncode == 1
    assert "may write files of 16,384 bytes at most (ulimit -f)" in ended.stderr
    assert "Traceback" not in ended.stderr.split("The end of")[0] and "disk is full" not in ended.stderr
    log = "".join(path.read_text() for path in Scene(root).logs_dir.glob("*.log"))
    assert log.count(" starts") == 1
    assert not vda_here(*command, "--on", "inline").returncode
    assert not any(map(Scene(root).missing_windows, Scene(root).plan().chunks))
