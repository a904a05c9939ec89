"""Memory that is limited, by the shell or by a control group: said in words, nothing restarted without end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from depth_runs import depth_digest, make_video, make_weights, run_keywords, run_options

import vda as library

GROUPS = Path("/sys/fs/cgroup")
GROUP_MB = 1500
# Workers alone are harmed: Python runs this before anything else.
IN_WORKERS = """
import resource, sys
if "vda.compute.worker" in sys.orig_argv:
    {fault}
"""
GREEDY = "held = [b'1' * (1 << 26) for _ in range(64)]"
POOR = "resource.setrlimit(resource.RLIMIT_AS, (700_000_000, 700_000_000))"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("memory")
    return make_video(folder / "v.mp4", 12), make_weights(folder / "w.safetensors")


def finish(files: tuple[Path, Path], scene: Path) -> dict[str, str]:
    """Compute what is missing, undisturbed; return the images."""
    library.depth(files[0], scene=scene, create_video=False, **run_keywords(files[1]))
    return depth_digest(scene)


@pytest.fixture(scope="module")
def quiet(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return finish(files, tmp_path_factory.mktemp("quiet") / "scene")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a limit of its own, of either version; skipped where none can be made."""
    old = (GROUPS / "memory" / "cgroup.procs").exists()
    folder = (GROUPS / "memory" if old else GROUPS) / f"vda-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (folder / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(GROUP_MB << 20))
        with suppress(OSError):
            (folder / "memory.swap.max").write_text("0")
        yield folder
    except OSError as error:
        pytest.skip(f"control groups have no limit here: {error}")
    finally:
        folder.rmdir()


def run_harmed(
    files: tuple[Path, Path], scene: Path, fault: str, before: str = "true"
) -> subprocess.CompletedProcess[str]:
    """``vda depth`` after the shell did ``before``, with ``fault`` in its workers and no second attempt."""
    scene.parent.joinpath("sitecustomize.py").write_text(IN_WORKERS.format(fault=fault))
    command = ["vda", "depth", files[0], "--scene", scene, *run_options(files[1])]
    command += ["--devices", "cpu", "--chunks", 1, "--retries", 0, "-q"]
    path = f"{scene.parent}:{os.environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        ["sh", "-c", f'{before} && exec "$@"', "sh", sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )


def starts(scene: Path) -> int:
    return (scene / "vda_logs" / "supervisor.log").read_text().count(" starts\n")


def test_a_worker_that_the_kernel_ends_for_memory_is_told_from_one_that_somebody_killed(
    files: tuple[Path, Path], quiet: dict[str, str], group: Path, tmp_path: Path
) -> None:
    ended = run_harmed(files, tmp_path / "scene", GREEDY, f"echo $$ > {group}/cgroup.procs")
    assert ended.returncode == 1, ended.stderr
    assert f"the kernel's memory killer ended it: the limit of {group} was used up." in ended.stderr
    assert "Raise that limit" in ended.stderr and "Traceback" not in ended.stderr
    assert starts(tmp_path / "scene") == 1
    assert finish(files, tmp_path / "scene") == quiet


def test_a_worker_with_too_little_memory_says_how_much_it_may_use(
    files: tuple[Path, Path], quiet: dict[str, str], tmp_path: Path
) -> None:
    ended = run_harmed(files, tmp_path / "scene", POOR)
    assert ended.returncode == 1, ended.stderr
    assert "This process may use 700 MB of memory (ulimit -v), and that is not enough" in ended.stderr
    assert starts(tmp_path / "scene") == 1
    assert finish(files, tmp_path / "scene") == quiet


@pytest.mark.parametrize(
    ("limit", "command", "said"),
    [
        ("-v 600000", "depth", "it takes 1,200 MB at the least"),
        ("-d 200000", "depth", "it takes 400 MB at the least"),
        ("-v 120000", "split", "it takes 256 MB at the least"),
        ("-v 300000", "split", "that is not enough"),
    ],
)
def test_a_command_with_too_little_memory_ends_in_words(
    files: tuple[Path, Path], tmp_path: Path, limit: str, command: str, said: str
) -> None:
    asked = [sys.executable, "-m", "vda", command, files[0], "--scene", tmp_path / "scene", "--devices", "cpu"]
    ended = subprocess.run(
        ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *map(str, asked)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert ended.returncode == 1, ended.stderr
    problem, remedy = ended.stderr.splitlines()
    assert f"(ulimit {limit[:2]})" in problem and said in problem
    assert f"'ulimit {limit[:2]} unlimited'" in remedy
    assert not (tmp_path / "scene").exists()


SHORT = """
import resource, sys
from pathlib import Path
from vda.video import index_frames, probe
info = probe(Path(sys.argv[1]))
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2_000_000, -1))
try:
    print(len(index_frames(info, cache_dir=Path(sys.argv[2]), threads=1)))
except MemoryError:
    print("no memory")
"""


def test_a_decoder_without_memory_is_not_taken_for_a_damaged_video(tmp_path: Path) -> None:
    """A picture takes more than what is left, and a film that was counted short would stay so in the cache."""
    draw = lambda number: np.full((1200, 2000, 3), 20 * number, np.uint8)  # noqa: E731
    film = make_clip(tmp_path / "large.mkv", range(6), draw=draw, codec="mjpeg", pix_fmt="yuvj420p")
    counted = subprocess.run(
        [sys.executable, "-c", SHORT, film, tmp_path / "cache"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert counted.stdout == "no memory\n", counted.stderr
    assert not (tmp_path / "cache").exists()
