"""``--dry-run``: what is told is what then happens, what would be refused is refused, and nothing is written."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from depth_runs import INPUT_SIZE, make_video, make_weights

import vda
from vda.cli import main
from vda.machine.locks import exclusive_lock, folder_lock
from vda.models import hub
from vda.outlook import forecaster, tried
from vda.outlook.tried import CpuTrial, TrialOrder
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
from vda.supervisor import room

FRAMES = 60
ROOT = Path(__file__).parents[1]
slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")
Listing = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film, another, weights, and a scene of the film at each stage of its work."""
    folder = tmp_path_factory.mktemp("given")
    film = make_video(folder / "film.mp4", FRAMES)
    make_video(folder / "other.mp4", 30)
    weights = make_weights(folder / "w.safetensors")
    network: dict[str, Any] = {"model": "mini", "weights": weights, "input_size": INPUT_SIZE}
    here: dict[str, Any] = {"devices": "cpu", "on": "inline", "threads": 1}
    vda.plan(film, folder / "planned", chunks=2, devices="cpu")
    shutil.copytree(folder / "planned", folder / "computed")
    vda.run(folder / "computed", **network, **here)
    shutil.copytree(folder / "computed", folder / "merged")
    vda.merge(folder / "merged", create_video=True)
    return folder


def copy(source: str, target: str) -> None:
    """Images and windows are never written into: one copy is enough."""
    if source.endswith((".png", ".npz")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def work(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in, with caches of its own; the trial of the CPU is left out."""
    folder = tmp_path / "work"
    shutil.copytree(given, folder, copy_function=copy)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache" / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("VDA_WEIGHTS", raising=False)
    monkeypatch.setattr(hub, "cached", lambda repository, filename: None)
    monkeypatch.setattr(forecaster, "try_cpu", lambda order: CpuTrial(0.5, 10**9))
    return folder


NETWORK = ("--model", "mini", "--weights", "w.safetensors", "--input-size", str(INPUT_SIZE))
HERE = ("--devices", "cpu", "--on", "inline", "--threads", "1")


def call(*words: str) -> click.testing.Result:
    return CliRunner().invoke(main, words)


def listing(folder: Path) -> Listing:
    """Everything below ``folder``: sizes and times of change, to the nanosecond."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


def dry(*words: str) -> click.testing.Result:
    """A command with ``--dry-run``, after which all that was there is there as it was, and nothing else."""
    around = Path.cwd().parent
    before = listing(around)
    told = call(*words, "--dry-run")
    assert listing(around) == before
    return told


def foretold(*words: str) -> dict[str, Any]:
    told = dry(*words, "--json")
    assert told.exit_code == 0, told.output
    [forecast] = json.loads(told.stdout)["forecasts"]
    return dict(forecast)


# ---------------------------------------------------------------------------------------------------- what is told


class TestWhatIsTold:
    def test_counts_are_those_of_the_work_and_disk_holds_what_is_written(
        self, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        monkeypatch.chdir(work)
        words = ("depth", "film.mp4", "--scene", "new", *NETWORK, *HERE, "--chunks", "2", "--format", "npy")
        told = foretold(*words, "--format", "png16")
        assert call(*words, "--format", "png16", "-q").exit_code == 0
        scene = vda.open_scene("new")
        plan = scene.plan
        counts = (len(plan.frames), len(plan.chunks), scene.status["windows_total"])
        assert (told["frames"], told["chunks"], told["windows"]) == counts
        assert told["windows_to_compute"] == told["windows"]
        merged = work / "new" / "vda_merged_depth"
        written = {
            "raw windows": sum(path.stat().st_size for path in (work / "new" / "vda_windows").glob("*.npz")),
            "png16": sum(path.stat().st_size for path in merged.glob("*.png")),
            "npy": (merged / "depths.npy").stat().st_size,
        }
        # The visualization of so short a film is a key frame and its header; it counts in the sum alone.
        for name, size in written.items():
            assert size <= told["disk"]["parts"][name] <= 1.5 * size, name
        assert told["disk"]["parts"]["visualization"] >= (merged / "depth_visualization.mp4").stat().st_size
        everything = sum(path.stat().st_size for path in (work / "new").rglob("*") if path.is_file())
        assert told["disk"]["needed"] >= everything
        assert told["time"]["computing"] > 0 and told["time"]["writing"] > 0
        assert told["computing"]["memory"]["per_worker"] > 50e6
        assert told["computing"]["network"] == [48, 32] and "float32" in told["computing"]["precision"]
        # The frames were counted in vain: nothing of the dry run was kept, and the real one counted again.
        assert list(vda.open_depth(merged).frames) == list(range(FRAMES))

    @slow
    def test_the_sample_takes_what_was_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        words = (
            "depth",
            str(ROOT / "data" / "sample.mp4"),
            "--scene",
            "scene",
            "--model",
            "mini",
            "--devices",
            "cpu",
        )
        told = foretold(*words)
        assert call(*words, "-q").exit_code == 0
        written = sum(path.stat().st_size for path in Path("scene").rglob("*") if path.is_file())
        assert written <= told["disk"]["needed"] <= 1.5 * written
        notes = json.loads(Path("scene/vda_run/devices.json").read_text())["cpu"]
        assert told["computing"]["memory"]["per_worker"] == pytest.approx(notes["peak_memory_bytes"], rel=0.3)
        assert told["windows"] == len(list(Path("scene/vda_windows").glob("*.npz"))) == 12

    def test_a_scene_half_done_goes_on_from_there(self, work: Path) -> None:
        removed = sorted((work / "computed" / "vda_windows").glob("window_*.npz"))[1:]
        for path in removed:
            path.unlink()
        told = foretold("run", "computed", *NETWORK, *HERE)
        assert told["windows_to_compute"] == len(removed) == told["windows"] - 1
        # The pace is that of the window which was computed here before.
        notes = json.loads((work / "computed" / "vda_run" / "devices.json").read_text())
        pace = notes["cpu"]["seconds_per_window"]
        assert told["time"]["computing"] == pytest.approx(pace * len(removed))
        assert "earlier windows" in told["time"]["source"]
        assert any("1 raw window" in sentence for sentence in told["keeps"])

    def test_a_damaged_window_counts_as_missing_and_stays(self, work: Path) -> None:
        path = sorted((work / "computed" / "vda_windows").glob("window_*.npz"))[0]
        kept = path.read_bytes()[:-100]
        path.unlink()
        path.write_bytes(kept)
        told = foretold("run", "computed", *NETWORK, *HERE)
        assert told["windows_to_compute"] == 1 and any(path.name in sentence for sentence in told["said"])

    def test_all_that_is_there_is_kept(self, work: Path) -> None:
        told = foretold("depth", "film.mp4", "--scene", "merged", *NETWORK, *HERE)
        assert (told["windows_to_compute"], told["outputs"]) == (0, [])
        assert any("vda_merged_depth" in sentence for sentence in told["keeps"]) and told["replaces"] == []

    def test_a_format_is_added_and_with_overwrite_all_is_replaced(self, work: Path) -> None:
        words = ("merge", "merged", "--format", "npz")
        added = foretold(*words)
        assert added["outputs"] == ["npz"] and "png16" in added["keeps"][-1] and added["replaces"] == []
        # 80x48 floats at 4 bytes; compressed they take no more.
        assert 0 < added["disk"]["parts"]["npz"] < 1.5 * FRAMES * 80 * 48 * 4
        anew = foretold(*words, "--overwrite")
        assert sorted(anew["outputs"]) == ["npz", "png16", "visualization"]
        assert "vda_merged_depth" in anew["replaces"][0]

    def test_restart_throws_away(self, work: Path) -> None:
        told = foretold("depth", "film.mp4", "--scene", "merged", *NETWORK, *HERE, "--restart", "--chunks", "1")
        assert (told["chunks"], told["windows_to_compute"]) == (1, told["windows"])
        assert len(told["replaces"]) == 2 and "raw windows" in told["replaces"][0]
        assert told["outputs"] == ["png16", "visualization"]

    def test_an_interrupted_change_of_depth_is_seen_as_the_next_merge_finds_it(self, work: Path) -> None:
        merged = work / "merged" / "vda_merged_depth"
        files = [path for path in merged.iterdir() if path.is_file()]
        (merged / ".new").mkdir()
        for path in files:
            path.rename(merged / ".new" / path.name)
        told = foretold("merge", "merged", "--format", "npz")
        assert told["outputs"] == ["npz"]
        again = dry("merge", "merged")
        assert again.exit_code == 2 and f"Error: {Path('merged/vda_merged_depth/depth.json')}" in again.stderr

    def test_weights_that_are_not_here_are_told_with_their_size(
        self, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = hub.HubFile(116_000_000, "ab" * 32)
        monkeypatch.setattr(hub, "ask", lambda repository, filename, timeout_s: answer)
        monkeypatch.setattr(hub, "fetch", lambda *arguments: pytest.fail("something was fetched"))
        orders: list[TrialOrder] = []

        def trial(order: TrialOrder) -> CpuTrial:
            orders.append(order)
            return CpuTrial(0.5, 10**9)

        monkeypatch.setattr(forecaster, "try_cpu", trial)
        told = foretold("depth", "film.mp4", "--scene", "new", "--devices", "cpu")
        weights = told["computing"]["weights"]
        assert (weights["model"], weights["to_fetch"], weights["fetch_bytes"]) == ("vits", True, 116_000_000)
        assert orders and not orders[0].is_here
        # By a frame of half a second; a window settles 22 frames.
        assert told["time"]["computing"] == pytest.approx(0.5 * 22 * told["windows"])
        text = dry("depth", "film.mp4", "--scene", "new", "--devices", "cpu").stdout
        assert "fetched first from depth-anything" in text and "116 MB" in text

    def test_nothing_is_made_up_where_nothing_was_measured(
        self, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forecaster, "try_cpu", lambda order: None)
        told = foretold("depth", "film.mp4", "--scene", "new", *NETWORK, *HERE)
        assert told["time"]["computing"] is None and told["time"]["writing"] is None
        assert told["computing"]["memory"]["per_worker"] is None
        assert "unknown until the first window" in told["time"]["source"]
        # The most that 16 bits a pixel can take is known all the same.
        assert told["disk"]["parts"]["png16"] <= FRAMES * 80 * 48 * 2

    def test_what_a_trial_meets_is_told_as_it_would_tell_it(
        self, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def inside(command: list[str], *, input: bytes, **others: Any) -> subprocess.CompletedProcess[bytes]:
            """The process that is started, within this one."""
            given, answer = io.TextIOWrapper(io.BytesIO(input)), io.TextIOWrapper(io.BytesIO())
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sys.stdin", given)
                patch.setattr("sys.stdout", answer)
                tried.main()
            return subprocess.CompletedProcess(command, 0, answer.buffer.getvalue())

        monkeypatch.setattr(forecaster, "try_cpu", tried.try_cpu)
        monkeypatch.setattr("vda.outlook.tried.subprocess.run", inside)
        (work / "planned" / "frame_index.npz").unlink()
        (work / "planned" / "frame_index.npz").write_text("no index")
        told = dry("run", "planned", *NETWORK, *HERE)
        assert told.exit_code == 1 and "planned/frame_index.npz is not a frame index" in told.stderr

    def test_from_python_the_arguments_are_the_calls_own(self, work: Path) -> None:
        network: dict[str, Any] = {"model": "mini", "weights": "w.safetensors", "input_size": INPUT_SIZE}
        before = listing(work.parent)
        told = vda.dry_run(vda.depth, "film.mp4", "new", frames=(0, 40), format=["png16", "npz"], **network)
        assert (told.frames, told.video_frames, told.outputs) == (40, FRAMES, ("png16", "npz", "visualization"))
        assert vda.dry_run(vda.run, "planned", **network).windows_to_compute == told.windows + 1
        assert vda.dry_run(vda.merge, "merged", format="exr", overwrite=True).outputs[0] == "exr"
        with pytest.raises(vda.VdaError, match="there already"):
            vda.dry_run(vda.merge, "merged")
        with pytest.raises(vda.VdaError, match="Only depth, run and merge"):
            vda.dry_run(vda.open_scene, "merged")
        assert listing(work.parent) == before

    def test_each_of_several_has_a_block_and_a_bad_one_is_listed(self, work: Path) -> None:
        (work / "bad.mp4").write_text("no film")
        make_video(work / "film.mp4", 4)
        make_video(work / "other.mp4", 3)
        words = ("depth", "film.mp4", "bad.mp4", "other.mp4", *NETWORK, *HERE, "--no-video")
        told = dry(*words)
        assert told.exit_code == 1
        assert [line for line in told.stdout.splitlines() if line.startswith("data/")] == [
            "data/film: 4 frames, 1 chunk, 1 window.",
            "data/other: 3 frames, 1 chunk, 1 window.",
        ]
        assert told.stdout.count("  makes     raw windows, png16") == 2 and "Together: " in told.stdout
        assert "1 of 3 videos failed." in told.stderr and "bad.mp4" in told.stderr
        assert "1 of 3 videos failed." in call(*words, "-q").stderr


# ------------------------------------------------------------------------------------------------ what is refused


def nothing(work: Path, stack: ExitStack) -> None:
    pass


def locked(work: Path, stack: ExitStack) -> None:
    files = RunFiles(Scene(work / "planned").run_dir)
    stack.enter_context(exclusive_lock(files.supervisor_lock))


def merging(work: Path, stack: ExitStack) -> None:
    stack.enter_context(folder_lock(work / "computed"))


def full(work: Path, stack: ExitStack) -> None:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(room, "disk_free_bytes", lambda folder: 1000)


def moved(work: Path, stack: ExitStack) -> None:
    for name in ("planned", "computed"):
        Scene(work / name).relink(work / "film.mp4")
    (work / "film.mp4").rename(work / "elsewhere.mp4")


def foreign(work: Path, stack: ExitStack) -> None:
    for name in ("planned", "computed"):
        folder = Scene(work / name).merged_dir
        folder.mkdir()
        (folder / "depth_000000.png").write_bytes(b"somebody's")


def redone(work: Path, stack: ExitStack) -> None:
    Scene(work / "merged").note_redone(1)


def torn(work: Path, stack: ExitStack) -> None:
    Scene(work / "planned").plan_path.write_text('{"chunks"')
    Scene(work / "computed").run_path.write_text("{")


def gone(work: Path, stack: ExitStack) -> None:
    (work / "merged" / "vda_merged_depth" / "depth_000003.png").unlink()
    (work / "merged" / "vda_windows" / "run.json").unlink()
    for path in (work / "computed" / "vda_windows").glob("window_*"):
        path.unlink()


# What is asked, of which state of things.
NEW = ("depth", "film.mp4", "--scene", "new", *NETWORK, *HERE)
AGAIN = ("depth", "film.mp4", "--scene", "planned", *NETWORK, *HERE)
RUN = ("run", "planned", *NETWORK, *HERE)
Refusal = tuple[Callable[[Path, ExitStack], None], tuple[str, ...]]
REFUSED: list[Refusal] = [
    (nothing, (*NEW, "--colormap", "no such map")),
    (nothing, (*NEW, "--depth-scale", "mm")),
    (nothing, (*NEW, "--align", "smooth")),
    (nothing, (*NEW, "--frames", "50:900")),
    (nothing, (*NEW, "--devices", "7")),
    (nothing, (*NEW, "--devices", "cpu,cpu")),
    (nothing, (*NEW, "--weights", "no file")),
    (nothing, (*NEW, "--model", "vits")),
    (nothing, ("depth", "film.mp4", "--scene", "new", "--model", "vitl", *HERE)),
    (nothing, ("depth", "no film.mp4", *NETWORK, *HERE)),
    (nothing, ("depth", "film.mp4", "../work/film.mp4", *NETWORK, *HERE)),
    (nothing, ("depth", "film.mp4", "other.mp4", "--scene", "new", *NETWORK, *HERE)),
    (nothing, ("depth", "other.mp4", "--scene", "planned", *NETWORK, *HERE)),
    (nothing, (*AGAIN, "--chunking", "independent")),
    (nothing, (*AGAIN, "--frames", "0:30")),
    (nothing, (*AGAIN, "--max-res", "40")),
    (nothing, ("depth", "film.mp4", "--scene", "computed", *NETWORK, *HERE, "--input-size", "64")),
    (nothing, ("run", "computed", *NETWORK, *HERE, "--precision", "bf16")),
    (nothing, (*RUN, "--devices", "cpu,cpu")),
    (locked, RUN),
    (locked, (*RUN, "--restart")),
    (locked, AGAIN),
    (locked, (*AGAIN, "--restart")),
    (full, RUN),
    (full, NEW),
    (moved, RUN),
    (moved, ("merge", "computed", "--format", "sbs")),
    (foreign, AGAIN),
    (foreign, ("merge", "computed")),
    (torn, RUN),
    (torn, AGAIN),
    (torn, ("run", "computed", *NETWORK, *HERE)),
    (nothing, ("merge", "planned")),
    (nothing, ("merge", "merged")),
    (nothing, ("merge", "merged", "--format", "npz", "--align", "joint")),
    (nothing, ("merge", "computed", "--depth-scale", "mm")),
    (merging, ("merge", "computed")),
    (redone, ("merge", "merged", "--format", "npz")),
    (gone, ("merge", "computed")),
    (nothing, ("depth", "film.mp4", "--scene", "film.mp4/scene", *NETWORK, *HERE)),
]
# More of the same kinds.
AS_WELL: list[Refusal] = [
    (nothing, (*NEW, "--side-by-side", "--no-video")),
    (nothing, (*NEW, "--exr", "rgb")),
    (nothing, (*NEW, "--parallax", "3")),
    (nothing, (*NEW, "--metres", "1,0")),
    (nothing, (*NEW, "--crop", "0,0,900,900")),
    (nothing, (*NEW, "--mask", "film.mp4")),
    (nothing, (*NEW, "--shots", "no list")),
    (nothing, (*NEW, "--extract", "--chunking", "linked")),
    (nothing, (*NEW, "--stride", "2", "--fps", "5")),
    (nothing, (*NEW, "--devices", "gpu")),
    (nothing, (*NEW, "--model", "vitz")),
    (nothing, ("depth", "w.safetensors", *NETWORK, *HERE)),
    (nothing, ("depth", "film.mp4", "other.mp4", "--shots", "w.safetensors", *NETWORK, *HERE)),
    (nothing, ("run", "no scene", *NETWORK, *HERE)),
    (nothing, ("run", "film.mp4", *NETWORK, *HERE)),
    (moved, ("merge", "computed", "--refine", "guided")),
    (nothing, ("merge", "merged", "--format", "npz", "--coding", "log")),
    (nothing, ("merge", "merged", "--format", "npz", "--refine", "guided")),
    (nothing, ("merge", "no scene")),
    (nothing, ("merge", "film.mp4")),
]


def errors(told: click.testing.Result) -> str:
    """What was said from the error on: warnings and progress before it are no part of the refusal."""
    return told.stderr[told.stderr.index("Error: ") :]


def name_of(refusal: Refusal) -> str:
    return f"{refusal[0].__name__} {' '.join(refusal[1])}"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        *[pytest.param(*refusal, id=name_of(refusal)) for refusal in REFUSED],
        *[pytest.param(*refusal, id=name_of(refusal), marks=slow) for refusal in AS_WELL],
    ],
)
def test_what_would_be_refused_is_refused_in_the_same_words(
    work: Path,
    state: Callable[[Path, ExitStack], None],
    words: tuple[str, ...],
) -> None:
    with ExitStack() as stack:
        state(work, stack)
        told, really = dry(*words), call(*words)
    assert really.exit_code != 0, really.output
    assert (told.exit_code, errors(told)) == (really.exit_code, errors(really))
