"""A data set scaled by a cluster's nodes: the files and the table of one process on one machine."""

import json
import re
from pathlib import Path

from data_sets import content, data_set
from depth_runs import check, vda

from cluster.world import Cluster
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
    assert logs == ["shard_0", "shard_1", "shard_2"]
    (out / "video4_scaled_original.mp4").unlink()
    clip = (tmp_path / "video0.mp4").read_bytes()
    (tmp_path / "video3.mp4").write_bytes(clip)
    again = check(vda(*command, cwd=tmp_path, **cluster.environment))
    assert json.loads(again.stdout)["scaled"] == 2
    scale(metadata, tmp_path / "whole", ScaleSettings(size=64))
    assert made(out) == made(tmp_path / "whole")
    asked = json.loads((out / "scaled_jobs" / "submitted.json").read_text())
    assert [entry["shards"] for entry in asked] == ["0-2", "1-2"]
