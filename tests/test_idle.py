"""Commands with nothing to do: they load little, write nothing again, and see whatever has changed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from reporters import Stages
from two_chunks import make_scene

from vda.api.todepth import depth as depth_of
from vda.errors import SceneError
from vda.evaluation import quality, report
from vda.files import write_bytes
from vda.merging.outputs import VISUALIZATION
from vda.merging.settings import MergeSettings
from vda.models.weights import choose_model
from vda.network import PRESETS, net_size
from vda.network.packing import packed
from vda.scene.scene import RunRecord, Scene
from vda.scene.windowstore import WindowStore
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.supervisor.resolve import RunSettings
from vda.viewing import reports
from vda.viewing.reports import report_scene

pytestmark = pytest.mark.whole

FRAMES = 30
# What takes longer to load than a command with nothing to do may take.
SLOW = {"torch", "scipy.sparse", "scipy.optimize", "scipy.spatial", "matplotlib", "polars", "pandas"}
IN_TURN = """
import json, sys
from vda.cli import main

loaded = {}
for command in json.loads(sys.argv[1]):
    main(command, standalone_mode=False)
    loaded[" ".join(command[:2])] = sorted(sys.modules)
print("loaded", json.dumps(loaded))
"""


def in_turn(*commands: list[str]) -> dict[str, list[str]]:
    """Run the commands in one process; return what was loaded after each, by its first two words."""
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("loaded "))
    found: dict[str, list[str]] = json.loads(line.removeprefix("loaded "))
    return found


def computed(video: Path, scene: Scene) -> Scene:
    """``scene`` with the raw windows that the built-in model might have made of ``video``."""
    plan = split(video, scene, PlanSettings(chunks=2))
    weights = choose_model("mini", None, has_gpu=False).weights
    size = PRESETS["mini"].input_size
    width, height = net_size(*scene.picture().largest().box.size, size, PRESETS["mini"].patch)
    record = RunRecord(
        "mini", "mini", weights.licence, weights.sha256, str(weights.path), weights.source, False, size, width,
        height, "fp32", "float32", "0",
    )  # fmt: skip
    scene.write_run(record)
    store = WindowStore.of(scene, record)
    slope = np.linspace(1, 2, width, dtype=np.float32)[None].repeat(height, 0)
    for chunk in plan.chunks:
        for window in chunk.windows():
            store.write((chunk.sequence.index, window.k), packed(np.stack([slope] * 32)), ())
    return scene


def results(root: Path) -> dict[str, tuple[int, int]]:
    """What lies below ``root``, but for what says who works there and what was told: time and file."""
    found = (path for path in root.rglob("*") if path.is_file())
    kept = (path for path in found if not {"vda_run", "vda_logs"} & {*path.relative_to(root).parts})
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in kept}


def test_what_is_finished_is_neither_made_again_nor_is_anything_loaded_for_it(tmp_path: Path) -> None:
    video = make_clip(tmp_path / "a.mp4", range(FRAMES))
    scene = computed(video, Scene(tmp_path / "scene"))
    root = str(scene.root)
    depth = ["depth", str(video), "--scene", root, "--model", "mini", "--chunks", "2"]
    in_turn(depth)
    before = results(scene.root)
    assert {"report.html", "report.json", "vda_merged_depth/depth_000029.png"} <= before.keys()
    loaded = in_turn(
        ["status", root],
        ["split", str(video), "--scene", root, "--chunks", "2"],
        ["run", root],
        depth,
        ["report", root],
    )
    assert results(scene.root) == before
    for command, modules in loaded.items():
        assert not SLOW & set(modules), command
    # What is not needed any more goes, and the depth and what is known of it stay.
    cleaned = in_turn(["clean", root], depth)
    after = results(scene.root)
    assert {name: before[name] for name in after} == after
    assert before.keys() - after.keys() == {f"vda_windows/window_000_0000{k}.npz" for k in range(2)}
    assert not any(SLOW & set(modules) for modules in cleaned.values())
    # Where nothing is computed, what would be computed otherwise is refused all the same.
    (tmp_path / "other.safetensors").write_bytes(b"other weights")
    for other in (RunSettings("mini", precision="bf16"), RunSettings("mini", tmp_path / "other.safetensors")):
        with pytest.raises(SceneError, match="begun with other settings"):
            depth_of([video], [scene.root], other, MergeSettings(create_video=True))
    assert results(scene.root) == after


def test_a_data_set_that_is_scaled_needs_no_process_beside_the_one_that_looks(tmp_path: Path) -> None:
    rows = ["video_path,label", *(f"{make_clip(tmp_path / f'{name}.mp4', range(4))},{name}" for name in "abc")]
    (tmp_path / "set.csv").write_text("\n".join(rows))
    out = tmp_path / "out"
    scale = ["fvc", "scale", str(tmp_path / "set.csv"), "--output-dir", str(out), "--size", "32", "--jobs"]
    assert not {"torch", "scipy.sparse", "scipy.optimize", "matplotlib"} & set(in_turn([*scale, "1"])["fvc scale"])
    made = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()}
    assert len(made) == 5
    # What starts a process is loaded where one is started, and nowhere else.
    assert "multiprocessing.popen_spawn_posix" not in in_turn([*scale, "3"])["fvc scale"]
    assert {path: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()} == made


def test_a_film_is_counted_once_wherever_it_lies_and_said_how_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, stages = Scene(tmp_path / "scene"), Stages()
    video = make_clip(tmp_path / "a.mp4", range(6))
    plan = split(video, scene, reporter=stages)
    assert ("counting frames", 6) in stages.totals
    # Neither at its old place nor in the user's cache: what the scene knows of it is enough.
    moved = video.rename(tmp_path / "b.mp4")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another cache"))
    again = Stages()
    assert split(moved, scene, reporter=again) == plan
    assert "counting frames" not in again.begun


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("merged"))


@pytest.fixture
def scene(merged: Scene, tmp_path: Path) -> Scene:
    """A scene of a test's own, beside its video."""
    shutil.copytree(merged.root.parent, tmp_path / "home")
    copied = Scene(tmp_path / "home" / merged.root.name)
    copied.relink(tmp_path / "home" / merged.video().path.name)
    return copied


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every page that is made from now on; they are short, for what is looked at is whether they are made."""
    pages: list[Path] = []

    def write(scene: Scene, *_: object, **__: object) -> Path:
        pages.append(scene.report_path)
        scene.report_path.write_text(f"page {len(pages)}")
        return scene.report_path

    monkeypatch.setattr(report, "write_report", write)
    monkeypatch.setattr(quality, "measure_quality", lambda *_, **__: quality.Quality({"seam": 1.0}, {}))
    return pages


def later(path: Path) -> None:
    """Give a file another time, as writing it again does."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


def changed_json(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "something": "else"}))


CHANGES: dict[str, Callable[[Scene], object]] = {
    "a depth image": lambda scene: later(scene.depth_path(3)),
    "a depth image that is gone": lambda scene: scene.depth_path(3).unlink(),
    "the record of the depth": lambda scene: changed_json(scene.depth_record_path),
    "the film of the depth": lambda scene: (scene.merged_dir / VISUALIZATION).write_bytes(b"film"),
    "another format": lambda scene: (scene.merged_dir / "depths.npz").write_bytes(b"stack"),
    "the plan": lambda scene: changed_json(scene.plan_path),
    "the record of the video": lambda scene: changed_json(scene.video_path),
    "the frames' times": lambda scene: later(scene.index_path),
    "what it was run with": lambda scene: write_bytes(scene.run_path, b"{}"),
    "a raw window": lambda scene: write_bytes(scene.window_path((0, 0)), b"window"),
    "a chunk's depth": lambda scene: later(next(scene.depths_dir.iterdir())),
    "the events": lambda scene: later(scene.event_paths()[0]),
    "a list of shots": lambda scene: scene.shots_path.write_text("shot"),
    "a mask": lambda scene: scene.mask_path.write_bytes(b"mask"),
    "the page": lambda scene: scene.report_path.write_text("another"),
    "the page that is gone": lambda scene: scene.report_path.unlink(),
    "its record": lambda scene: scene.report_record_path.write_text('{"figures": 3'),
    "its record that is gone": lambda scene: scene.report_record_path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_report_is_made_again_where_something_changed(
    scene: Scene, made: list[Path], change: Callable[[Scene], object]
) -> None:
    first = report_scene(scene)
    assert report_scene(scene) == first and len(made) == 1
    change(scene)
    report_scene(scene)
    assert len(made) == 2
    report_scene(scene)
    assert len(made) == 2


def test_a_report_is_made_again_by_another_program_and_for_other_options(
    scene: Scene, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    report_scene(scene)
    report_scene(scene, with_paths=True)
    report_scene(scene, with_paths=True)
    assert len(made) == 2
    monkeypatch.setattr(reports, "__version__", "1000")
    report_scene(scene, with_paths=True)
    assert len(made) == 3
    moved = Scene(scene.root.rename(scene.root.with_name("of another name")))
    report_scene(moved, with_paths=True)
    assert len(made) == 4


def test_a_report_of_some_seams_is_none_of_all_and_one_of_all_will_do(
    scene: Scene, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = quality.Quality({"seam": 1.0}, {}, seam_count=1000)
    monkeypatch.setattr(quality, "measure_quality", lambda *_, **__: many)
    for asked, pages in ((False, 1), (False, 1), (True, 2), (False, 2), (True, 2)):
        report_scene(scene, all_seams=asked)
        assert len(made) == pages


def test_a_report_knows_more_than_one_made_when_its_sources_are_gone(scene: Scene, made: list[Path]) -> None:
    report_scene(scene)
    video = scene.video().path
    kept = video.rename(video.with_name("put away"))
    for path in (*scene.event_paths(), *scene.depths_dir.iterdir()):
        path.unlink()
    report_scene(scene)
    assert len(made) == 1
    # One that was made without them is made again when they are back.
    scene.report_path.unlink()
    report_scene(scene)
    kept.rename(video)
    report_scene(scene)
    assert len(made) == 3


def test_a_page_that_lacks_a_part_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, made: list[Path]
) -> None:
    whole = report.write_report

    def without_a_part(scene: Scene, reporter: reports.Reporter, *_: object, **__: object) -> Path:
        reporter.say("Timeline: left out of the report, for it could not be made (no memory).")
        return whole(scene)

    monkeypatch.setattr(report, "write_report", without_a_part)
    report_scene(scene)
    report_scene(scene)
    assert len(made) == 2
    monkeypatch.setattr(report, "write_report", whole)
    report_scene(scene)
    report_scene(scene)
    assert len(made) == 3
