"""A data set scaled by a cluster's nodes: the files and the table of one process on one machine."""

import json
import re
from pathlib import Path

import psutil
from data_sets import content, data_set
from depth_runs import check, vda

from cluster.world import Cluster, task_id
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale

OPTIONS = ("--size", "64", "--jobs", "1", "--on", "slurm", "--rows-per-task", "2", "-q", "--json")


def made(folder: Path) -> dict[str, bytes]:
    """All but what tells of tasks: their jobs, the log that each range has, and who had which row in hand."""
    of_tasks = re.compile(r"scaled_(jobs|logs)/|scaled_state/claims")
    return {name: data for name, data in content(folder).items() if not of_tasks.match(name)}


def test_tasks_of_an_array_make_what_one_process_makes_and_only_what_is_missing(
    cluster: Cluster, tmp_path: Path
) -> None:
    metadata, out = data_set(tmp_path, 5, frames=4), tmp_path / "out"
    (tmp_path / "video3.mp4").write_bytes(b"no video")
    scale(metadata, tmp_path / "whole", ScaleSettings(size=64))
    command = ("fvc", "scale", metadata, "--output-dir", out, *OPTIONS)
    first = vda(*command, cwd=tmp_path, **cluster.environment)
    # One row that cannot be scaled, as on one machine.
    assert first.stdout, first.stderr
    assert (first.returncode, json.loads(first.stdout)["scaled"]) == (1, 4), first.stderr
    assert made(out) == made(tmp_path / "whole")
    logs = sorted(path.name.partition(".")[0] for path in out.glob("scaled_jobs/*.log"))
    assert logs == ["shard_000", "shard_001", "shard_002"]
    (out / "video4_scaled_original.mp4").unlink()
    clip = (tmp_path / "video0.mp4").read_bytes()
    (tmp_path / "video3.mp4").write_bytes(clip)
    again = check(vda(*command, cwd=tmp_path, **cluster.environment))
    assert json.loads(again.stdout)["scaled"] == 2
    scale(metadata, tmp_path / "whole", ScaleSettings(size=64))
    assert made(out) == made(tmp_path / "whole")
    asked = json.loads((out / "scaled_jobs" / "submitted.json").read_text())
    assert [entry["shards"] for entry in asked] == ["0-2", "1-2"]


def test_tasks_that_are_killed_requeued_and_cancelled_in_their_middle_leave_what_one_process_makes(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Each of two tasks is held at the second of its two videos; the first one is never made again."""
    metadata, out = data_set(tmp_path, 4, frames=4), tmp_path / "out"
    scale(metadata, tmp_path / "whole", ScaleSettings(size=64))
    done, held = ([f"video{row}_scaled_original.mp4" for row in rows] for rows in ((0, 2), (1, 3)))
    for name in held:
        cluster.gate.hold(name)
    command = ("fvc", "scale", metadata, "--output-dir", out, *OPTIONS)
    waiting = cluster.start(*command)
    first, second = (cluster.until_held(name) for name in held)
    before = identities(out, done)
    (killed,) = second
    psutil.Process(killed).kill()
    (successor,) = cluster.until_held(held[1], second)
    cluster.slurm.ask("scontrol", "requeue", task_id(cluster.task(out, 0)))
    assert cluster.until_held(held[0], first)
    cluster.until_gone(first)
    cluster.slurm.ask("scancel", task_id(cluster.task(out, 1)))
    cluster.until_gone({successor})
    cluster.gate.release(held[0])
    told, _ = waiting.communicate()
    assert waiting.returncode == 1 and "1 row of 4 were not scaled" in told, told
    assert cluster.task(out, 0)["Restarts"] == "1"
    cluster.gate.release(held[1])
    again = check(vda(*command, cwd=tmp_path, **cluster.environment))
    assert json.loads(again.stdout)["scaled"] == 1
    assert made(out) == made(tmp_path / "whole")
    assert identities(out, done) == before


def identities(folder: Path, names: list[str]) -> list[tuple[int, int]]:
    """Which files these are, and since when: one that is written again becomes another."""
    found = [(folder / name).stat() for name in names]
    return [(status.st_ino, status.st_mtime_ns) for status in found]
