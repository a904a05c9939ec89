"""Chunks on a real Ray of two nodes: the same bytes as here, whoever dies on the way, and nothing left running."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import psutil
from data_sets import data_set
from depth_runs import depth_digest

from cluster.awaiting import until
from cluster.raynodes import GPUS, KIND
from cluster.rayworld import Nodes, ended, parents_of
from cluster.scenes import Film, names_of_chunk, windows_digest
from cluster.test_scaling import made
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale

# Of Ray's own processes on this machine: the commands of its daemons.
DAEMONS = re.compile(r"raylet|gcs_server")


def test_the_sample_on_two_nodes_is_the_sample_here(ray: Nodes, sample: Film, tmp_path: Path) -> None:
    scene = sample.plan(tmp_path / "scene", chunks=2)
    ray.hold()
    code, said = ended(ray.start("run", scene, *sample.options))
    assert code == 0, said
    assert "2 chunks on the Ray cluster" in said and "2 nodes" in said
    assert "raylet" not in said
    # Each has the one GPU of its node, by the number that this has on the machine.
    assert sorted(ray.gpus()) == sorted(GPUS)
    sample.require_same(scene)


def test_whoever_is_killed_the_work_is_done(ray: Nodes, film: Film, tmp_path: Path) -> None:
    """The worker, then ``vda task``, each in the middle of the first chunk; then Ray's process in the second's."""
    scene, half = film.plan(tmp_path / "scene", chunks=2), len(film.windows) // 2
    windows = [names_of_chunk(chunk, half)[place] for chunk, place in ((0, 1), (0, 5), (1, 1))]
    ray.hold(*windows)
    command = ray.start("run", scene, *film.options)
    worker = ray.until_held(command, windows[0])
    os.kill(worker, signal.SIGKILL)
    ray.until_held(command, windows[0], {worker})
    ray.gate.release(windows[0])
    for window, place in ((windows[1], 0), (windows[2], 1)):
        worker = ray.until_held(command, window)
        task, _ = killed = parents_of(worker)
        os.kill(killed[place], signal.SIGKILL)
        until(lambda: not psutil.pid_exists(killed[place]), "the end of what was killed")  # noqa: B023
        # The orphan ends with its window; what Ray started is not left alone.
        ray.gate.release(window)
        until(lambda: not psutil.pid_exists(task), "the end of the task")  # noqa: B023
    code, said = ended(command)
    assert code == 0, said
    assert "goes to another task" in said
    film.require_same(scene)


def test_a_node_that_goes_takes_nothing_with_it(ray: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene", chunks=2)
    windows = [names_of_chunk(chunk, len(film.windows) // 2)[1] for chunk in range(2)]
    ray.hold(*windows)
    command = ray.start("run", scene, *film.options)
    for window in windows:
        ray.until_held(command, window)
    try:
        assert ray.tell("remove") == "remove"
        for window in windows:
            ray.gate.release(window)
        code, said = ended(command)
    finally:
        assert ray.tell("add") == "add"
    assert code == 0, said
    film.require_same(scene)


def test_interrupted_it_ends_and_the_same_command_takes_what_is_missing(
    ray: Nodes, film: Film, tmp_path: Path
) -> None:
    scene, half = film.plan(tmp_path / "scene", chunks=2), len(film.windows) // 2
    # Some more that are computed ahead are written behind it, and of the chunk's eight some are left.
    window = names_of_chunk(1, half)[0]
    ray.hold(window)
    command = ray.start("run", scene, *film.options)
    ray.until_held(command, window)
    until(lambda: len(windows_digest(scene)) == half, "the other chunk's windows")
    command.send_signal(signal.SIGINT)
    assert command.stdout
    until(lambda: "Ending with the windows in hand" in command.stdout.readline(), "the first answer")  # type: ignore[union-attr]
    ray.gate.release(window)
    code, said = ended(command)
    assert code == 130, said
    times = {path.name: path.stat().st_mtime_ns for path in (scene / "vda_windows").glob("window_*.npz")}
    assert window in times and len(times) < len(film.windows)
    code, said = ended(ray.start("run", scene, *film.options))
    assert code == 0, said
    assert re.search(r"\b1 chunk on the Ray cluster", said), said
    assert {name: (scene / "vda_windows" / name).stat().st_mtime_ns for name in times} == times
    film.require_same(scene)


def test_vda_stop_ends_it_after_the_windows_in_hand(ray: Nodes, film: Film, tmp_path: Path) -> None:
    """The node's own copy of the video goes with the last task that reads it."""
    scene, disk = film.plan(tmp_path / "scene"), tmp_path / "disk"
    disk.mkdir()
    window = names_of_chunk(0)[1]
    ray.hold(window)
    command = ray.start("run", scene, *film.options, "--stage-video", disk)
    ray.until_held(command, window)
    assert [copy.read_bytes() for copy in disk.rglob("film.mp4")] == [film.video.read_bytes()]
    code, said = ended(ray.vda("status", scene))
    assert "running" in said.splitlines()[0], said
    stop = ray.vda("stop", scene)
    until(lambda: (scene / "vda_run" / "stop").exists(), "the request")
    ray.gate.release(window)
    assert ended(stop)[0] == 0
    code, said = ended(command)
    assert code == 1 and "Stopped as asked" in said
    assert window in windows_digest(scene)
    assert not list(disk.rglob("film.mp4"))
    assert windows_digest(scene).items() <= film.windows.items()


def test_twice_interrupted_it_ends_at_once(ray: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    window = names_of_chunk(0)[1]
    ray.hold(window)
    command = ray.start("run", scene, *film.options)
    worker = ray.until_held(command, window)
    task, _ = parents_of(worker)
    assert command.stdout
    command.send_signal(signal.SIGINT)
    until(lambda: "Ending with the windows in hand" in command.stdout.readline(), "the first answer")  # type: ignore[union-attr]
    command.send_signal(signal.SIGINT)
    # The window stays held: nobody finishes it.
    assert ended(command)[0] == 130
    until(lambda: not psutil.pid_exists(worker) and not psutil.pid_exists(task), "the end of worker and task")
    assert window not in windows_digest(scene)


def test_a_ray_of_its_own_goes_with_the_command(ray: Nodes, film: Film, tmp_path: Path) -> None:
    """Another's Ray on the machine is neither used nor ended."""
    scene = film.plan(tmp_path / "scene", chunks=1)
    ray.hold()
    daemons = ray_daemons()
    code, said = ended(ray.vda("run", scene, "--on", "ray", "--devices", "cpu", *film.options))
    assert code == 0, said
    assert "on the Ray of this machine: 1 node, no GPU" in said
    film.require_same(scene)
    until(lambda: ray_daemons() == daemons, "the end of its daemons")


def ray_daemons() -> set[int]:
    found = psutil.process_iter(["cmdline"])
    return {
        each.pid for each in found if each.info["cmdline"] and DAEMONS.search(Path(each.info["cmdline"][0]).name)
    }


def test_a_cluster_that_does_not_answer_is_said_in_two_sentences(ray: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    code, said = ended(ray.vda("run", scene, "--on", "ray", "--ray-address", "127.0.0.1:9", *film.options))
    assert code == 1 and "the Ray cluster 127.0.0.1:9 could not be reached" in said
    assert "Traceback" not in said


def test_a_task_on_each_kind_of_node_proves_what_it_can_before_the_scene_is_begun(
    ray: Nodes, film: Film, tmp_path: Path
) -> None:
    scene = film.plan(tmp_path / "scene", chunks=1)
    ray.hold()
    code, said = ended(ray.start("run", scene, *film.options, "--prove"))
    assert code == 0, said
    assert f"half precision on {KIND} of the Ray cluster" in said and "half precision on a GPU of" in said
    # Two that prove, on one each, and the chunk's.
    assert len(ray.gpus()) == 3 and set(ray.gpus()) == set(GPUS)
    record = json.loads((scene / "vda_windows" / "run.json").read_text())
    # The GPUs are pretended: it is a CPU that both have tried.
    (proof,) = record["proofs"]
    assert proof["id"].startswith("cpu") and set(proof["failed"]) == {"fp16", "bf16"}
    assert record["precision"] == "fp32"
    film.require_same(scene)


def test_a_merge_in_tasks_makes_the_same_bytes_though_one_is_killed(
    ray: Nodes, film: Film, tmp_path: Path
) -> None:
    scene = tmp_path / "scene"
    shutil.copytree(film.video.parent / "here", scene, ignore=shutil.ignore_patterns("vda_merged_depth"))
    block = "frames_00003.npz"
    ray.hold(block)
    command = ray.start("merge", scene, "--ranges", 2)
    held = ray.until_held(command, block)
    os.kill(held, signal.SIGKILL)
    ray.until_held(command, block, {held})
    ray.gate.release(block)
    code, said = ended(command)
    assert code == 0, said
    assert depth_digest(scene) == film.images
    logs = sorted(path.stem for path in (scene / "vda_logs").glob("merge.ray-*.log"))
    assert logs == ["merge.ray-0-2", "merge.ray-1-2", "merge.ray-end", "merge.ray-fits"]


def test_rows_of_a_data_set_are_those_of_one_process_and_only_what_is_missing_is_handed_out(
    ray: Nodes, tmp_path: Path
) -> None:
    metadata, out = data_set(tmp_path, 5, frames=4), tmp_path / "out"
    scale(metadata, tmp_path / "whole", ScaleSettings(size=64))
    ray.hold()
    command = ("fvc", "scale", metadata, "--output-dir", out, "--size", 64, "--rows-per-task", 3)
    code, said = ended(ray.start(*command))
    # Though the command is task 1 of 2 of a step of SLURM's, by its variables, all rows are its own.
    assert code == 0 and "2 tasks on the Ray cluster" in said and "5 scaled now" in said, said
    assert made(out) == made(tmp_path / "whole")
    (out / "video4_scaled_original.mp4").unlink()
    code, said = ended(ray.start(*command))
    assert code == 0 and "1 task on the Ray cluster" in said and "1 scaled now, 4 were there" in said, said
    assert made(out) == made(tmp_path / "whole")
