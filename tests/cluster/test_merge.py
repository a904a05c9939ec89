"""Merging by jobs of a real SLURM: the bytes of the merge here, whatever happens to the jobs."""

import hashlib
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from depth_runs import check, depth_digest, vda

from cluster.awaiting import until
from cluster.scenes import Film, submitted
from cluster.world import Cluster

FORMATS = ["--format", "png16", "--format", "npz"]
# Of the small film's 22.
BLOCK = "frames_00003.npz"


def contents(scene: Path) -> dict[str, str]:
    """The hash of every file of the merged depth, by name."""
    folder = scene / "vda_merged_depth"
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def scene(film: Film, cluster: Cluster, tmp_path: Path) -> Path:
    """The windows of the film that was computed here, on a path that jobs see."""
    place = tmp_path / "scene"
    shutil.copytree(film.video.parent / "here", place, ignore=shutil.ignore_patterns("vda_merged_depth"))
    return place


@pytest.fixture(scope="module")
def right(film: Film, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("right") / "scene"
    shutil.copytree(film.video.parent / "here", place, ignore=shutil.ignore_patterns("vda_merged_depth"))
    check(vda("merge", place, *FORMATS, "-q"))
    return contents(place)


def test_the_jobs_make_the_same_bytes(scene: Path, right: dict[str, str], cluster: Cluster) -> None:
    told = vda(
        "merge", scene, *FORMATS, "--on", "slurm", "--ranges", 5, "--json", cwd=scene.parent, **cluster.environment
    )
    check(told)
    assert json.loads(told.stdout)["frames"] == 352
    assert contents(scene) == right
    batch = (scene / "vda_run" / "cluster" / "merge.sbatch").read_text()
    assert "--format png16 --format npz" in batch or "--format npz" in batch
    logs = "".join(path.read_text() for path in (scene / "vda_logs").glob("merge.slurm-*.log"))
    assert [f"merge --part {part}" in logs for part in ("fits", "0/5", "4/5", "end")] == [True] * 4


def test_the_same_command_submits_what_a_cancelled_one_left(
    scene: Path, right: dict[str, str], cluster: Cluster
) -> None:
    command = ["merge", scene, *FORMATS, "--on", "slurm", "--ranges", 4]
    check(vda(*command, "--detach", "--slurm", "hold", cwd=scene.parent, **cluster.environment))
    # A job that is queued is not submitted again.
    assert "already" in vda(*command, "--detach", cwd=scene.parent, **cluster.environment).stderr
    jobs = submitted(scene)
    assert [job["work"] for job in jobs] == ["merge"] * 3
    # The fits come to be, one range does not, and so the end has nothing to end.
    cluster.slurm.ask("scancel", f"{jobs[1]['job']}_2")
    cluster.slurm.ask("scontrol", "release", ",".join(job["job"] for job in jobs))
    cluster.until_all_ended()
    assert not (scene / "vda_merged_depth" / "depth.json").exists()
    log = scene / "vda_logs" / f"merge.slurm-{jobs[2]['job']}.log"
    until(lambda: log.exists() and "are not merged yet" in log.read_text(), "the end's log", cluster.told)
    check(vda(*command, cwd=scene.parent, **cluster.environment))
    jobs = submitted(scene)[3:]
    assert [job["chunks"] for job in jobs] == ["2", ""]
    assert contents(scene) == right


def test_a_range_that_is_told_of_its_end_goes_on_behind_what_it_has(
    scene: Path, right: dict[str, str], cluster: Cluster
) -> None:
    cluster.gate.hold(BLOCK)
    command = ["merge", scene, *FORMATS, "--on", "slurm", "--ranges", 1, "--detach"]
    check(vda(*command, cwd=scene.parent, **cluster.environment))
    (pid,) = cluster.until_held(BLOCK)
    # As the batch file hands on what SLURM sends ahead of a time limit; it is seen before the block goes on.
    os.kill(pid, signal.SIGUSR1)
    cluster.gate.release(BLOCK)
    cluster.until_all_ended()
    assert contents(scene) == right
    _, images, _ = submitted(scene)
    log = (scene / "vda_logs" / f"merge.slurm-{images['job']}_0.log").read_text()
    assert "Range 0 of 1" in log and "was told to end. Start it again" in log.replace("\n", " ")
    assert re.findall(r"restart (\d)", log) == ["0", "1"]


def test_depth_that_nobody_waits_for_is_merged_by_a_job_of_its_own(
    film: Film, cluster: Cluster, tmp_path: Path
) -> None:
    scene = tmp_path / "scene"
    command = ["depth", film.video, "--scene", scene, "--chunks", film.chunks, *film.options, "--devices", "cpu"]
    detached = [*command, "--no-video", "--on", "slurm", "--detach"]
    check(vda(*detached, cwd=tmp_path, **cluster.environment))
    cluster.until_all_ended()
    assert depth_digest(scene) == film.images, cluster.told()
    assert (scene / "report.html").is_file()
    assert [job["work"] for job in submitted(scene)] == ["chunks", "merge"]
    # All of it is there.
    told = check(vda(*detached, cwd=tmp_path, **cluster.environment))
    assert "nothing was submitted" in told.stderr and len(submitted(scene)) == 2


def test_jobs_look_for_themselves_whether_windows_are_there(scene: Path, cluster: Cluster) -> None:
    command = ["merge", scene, "--on", "slurm", "--ranges", 2]
    check(vda(*command, "--detach", "--slurm", "hold", cwd=scene.parent, **cluster.environment))
    next((scene / "vda_windows").glob("window_*.npz")).unlink()
    jobs = submitted(scene)
    cluster.slurm.ask("scontrol", "release", ",".join(job["job"] for job in jobs))
    cluster.until_all_ended()
    said = "".join(path.read_text() for path in (scene / "vda_logs").glob("merge.slurm-*.log"))
    assert "not computed yet; missing: chunk" in said
    # Known at the start by now.
    told = vda(*command, cwd=scene.parent, **cluster.environment)
    assert told.returncode == 1 and "not computed yet; missing: chunk" in told.stderr
