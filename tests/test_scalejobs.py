"""A data set's rows handed out in ranges: which ones, by which command, and what is made of them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from data_sets import content, data_set, rows_of, scaled, table

from vda.cluster.clusteroptions import ClusterOptions
from vda.errors import UsageError, WorkError
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.scalejobs import ScaleJobs, batch_text
from vda.fvc.selection import Selection
from vda.fvc.slurmrows import RowRanges, SlurmRows
from vda.fvc.spread import scale_elsewhere
from vda.launch.slurmcommands import SubmitLimitError
from vda.reporter import Noted, Reporter, Silence

SMALL = ScaleSettings(size=64)
ROOT = Path(__file__).parents[1]


def jobs(folder: Path, size: int = 2) -> ScaleJobs:
    return ScaleJobs(
        folder, ("fvc", "scale", "a table.csv", "--output-dir", "out"), "slurm", size, slurm=("time=5",)
    )


def test_ranges_begin_with_the_first_row_and_end_with_the_last(tmp_path: Path) -> None:
    tasks, rows = jobs(tmp_path, 4), range(10, 21)
    assert tasks.shards(rows, {10, 13, 20}) == [0, 2]
    assert [tasks.rows_of(rows, shard) for shard in range(3)] == [range(10, 14), range(14, 18), range(18, 21)]


def run_by_shell(path: Path, place: Path, arguments: list[str], **environment: str) -> list[list[str]]:
    """What a batch file has ``vda`` or Python do, by stand-ins that write their words down."""
    for name in ("vda", "scontrol"):
        (place / name).write_text(
            f'#!/bin/bash\nprintf "%s\\0" {name} "$@" >> {place}/said; echo >> {place}/said\n'
        )
        (place / name).chmod(0o755)
    around = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "7", **environment}
    subprocess.run(["bash", str(path), *arguments], env=around, check=True, capture_output=True)
    return [line.rstrip("\0").split("\0") for line in (place / "said").read_text().splitlines()]


@pytest.mark.parametrize(("offset", "index", "first", "last"), [("0", "1", 12, 14), ("100", "2", 214, 215)])
def test_the_batch_file_takes_the_rows_of_its_index(
    tmp_path: Path, offset: str, index: str, first: int, last: int
) -> None:
    text = batch_text(jobs(tmp_path), range(10, 215), ClusterOptions.of_words(("time=5",)))
    (tmp_path / "scaled_jobs").mkdir()
    python = next(line for line in text.splitlines() if line.startswith("python="))
    (tmp_path / "batch").write_text(text.replace(python, f"python={tmp_path}/vda"))
    (said,) = run_by_shell(
        tmp_path / "batch", tmp_path, [offset], SLURM_ARRAY_TASK_ID=index, SLURM_CPUS_PER_TASK="3"
    )
    begin = ["vda", "-m", "vda", "fvc", "scale", "a table.csv", "--output-dir", "out"]
    assert said == [*begin, "--start-idx", str(first), "--end-idx", str(last), "--jobs", "3"]
    assert "#SBATCH --time=5" in text.splitlines()


def test_a_batch_file_of_other_rows_takes_those_that_it_is_given(tmp_path: Path) -> None:
    """Index 1, shifted by 2, of ranges of 3 rows from row 20 on, below row 31: rows 29 and 30."""
    text = batch_text(jobs(tmp_path), range(10, 215), ClusterOptions())
    (tmp_path / "scaled_jobs").mkdir()
    python = next(line for line in text.splitlines() if line.startswith("python="))
    (tmp_path / "batch").write_text(text.replace(python, f"python={tmp_path}/vda"))
    (said,) = run_by_shell(tmp_path / "batch", tmp_path, ["2", "20", "3", "31"], SLURM_ARRAY_TASK_ID="1")
    assert said[-6:-2] == ["--start-idx", "29", "--end-idx", "31"]


def test_the_file_to_submit_by_hand_takes_the_rows_of_its_index(tmp_path: Path) -> None:
    (said,) = run_by_shell(
        ROOT / "runners" / "slurm_fvc.sbatch", tmp_path, ["a table.csv", "out", "100", "--size", "64"],
        SLURM_ARRAY_TASK_ID="3", SLURM_CPUS_PER_TASK="2",
    )  # fmt: skip
    assert said == [
        "vda", "fvc", "scale", "a table.csv", "--output-dir", "out", "--start-idx", "300", "--end-idx", "400",
        "--jobs", "2", "-q", "--size", "64",
    ]  # fmt: skip


def in_ranges(metadata: Path, out: Path, handed: list[set[int]]) -> Callable[..., None]:
    """Scales here what would be scaled elsewhere: by ranges of two rows, the last first."""

    def hand_out(rows: range, missing: Callable[[], set[int]], _reporter: Reporter) -> None:
        handed.append(missing())
        tasks = jobs(out)
        for shard in reversed(tasks.shards(rows, missing())):
            part = tasks.rows_of(rows, shard)
            scale(metadata, out, SMALL, selection=Selection(part.start, part.stop))
        assert not missing()

    return hand_out


def without_logs(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if not name.startswith("scaled_logs")}


def test_only_what_is_missing_is_handed_out_and_the_same_comes_out(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 5, frames=4), tmp_path / "out"
    (tmp_path / "video3.mp4").write_bytes(b"no video")
    handed: list[set[int]] = []

    def again() -> tuple[int, int, int]:
        result = scale_elsewhere(metadata, out, SMALL, in_ranges(metadata, out, handed))
        scale(metadata, tmp_path / "whole", SMALL)
        assert without_logs(out) == without_logs(tmp_path / "whole")
        return result.scaled, result.kept, len(result.failed)

    assert again() == (4, 0, 1)
    # What failed is tried again, what is damaged is made again, and labels follow the metadata.
    (out / "video4_scaled_original.mp4").write_bytes(b"damaged")
    rows = rows_of(metadata)
    rows[0]["label"] = "fake"
    table(metadata, rows)
    assert again() == (1, 3, 1)
    assert scaled(out)[0]["label"] == "fake"
    (tmp_path / "video3.mp4").write_bytes((tmp_path / "video2.mp4").read_bytes())
    assert again() == (1, 4, 0)
    assert again() == (0, 5, 0)
    assert handed == [{0, 1, 2, 3, 4}, {3, 4}, {3}]


def test_rows_that_nobody_scaled_are_an_error_unless_nobody_waits(tmp_path: Path) -> None:
    metadata = data_set(tmp_path, 2, frames=2)

    def nothing(*_arguments: object) -> None:
        pass

    with pytest.raises(WorkError, match="2 rows of 2 were not scaled"):
        scale_elsewhere(metadata, tmp_path / "out", SMALL, nothing, reporter=Silence())
    assert scale_elsewhere(metadata, tmp_path / "out", SMALL, nothing, waits=False).scaled == 0


def test_tasks_that_were_changed_by_hand_to_make_something_else_are_found_out(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 2, frames=2), tmp_path / "out"

    def smaller(*_arguments: object) -> None:
        scale(metadata, out, ScaleSettings(size=32))

    with pytest.raises(UsageError, match="other settings: size"):
        scale_elsewhere(metadata, out, SMALL, smaller)


class Queue:
    """A SLURM that has room for ``most`` tasks at once, and runs one whenever somebody looks at the files.

    ``refusal`` is as 22.05.8 printed it.
    """

    def __init__(self, folder: Path, most: int, max_array_size: int) -> None:
        folder.mkdir()
        self.folder, self.ran = folder, list[int]()
        self.set_room(most)
        (folder / "refusal").write_text(
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)\n"
        )
        (folder / "queue").touch()
        self.program("scontrol", f'echo "MaxArraySize = {max_array_size}"')
        self.program(
            "squeue", "jobs=${!#} jobs=${jobs#--jobs=}; " + f'grep -E "^(${{jobs//,/|}})[|]" {folder}/queue; true'
        )
        self.program("scancel", "")
        self.program("sbatch", SBATCH.format(folder=folder))

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.folder / name).chmod(0o755)

    def set_room(self, most: int) -> None:
        (self.folder / "most").write_text(str(most))

    @property
    def lines(self) -> list[str]:
        return (self.folder / "queue").read_text().splitlines()

    def live(self) -> list[str]:
        return [line for line in self.lines if "|PENDING|" in line]

    def offsets(self) -> dict[str, int]:
        calls = (self.folder / "calls").read_text().splitlines()
        return {str(number + 1): int(call.split()[-4]) for number, call in enumerate(calls)}

    def run_one(self) -> None:
        if live := self.live():
            job, index, *_ = live[0].split("|")
            self.ran.append(self.offsets()[job] + int(index))
            text = "\n".join(self.lines).replace(live[0], live[0].replace("PENDING", "COMPLETED"))
            (self.folder / "queue").write_text(f"{text}\n")


# Takes an array (FIRST-LAST, or numbers and commas) whole or not at all, by how many tasks are pending.
SBATCH = """case "$*" in *--test-only*) exit 0 ;; esac
[[ "$*" =~ --array=([0-9,-]+) ]]
spec=$(echo "${{BASH_REMATCH[1]}}" | tr , '\n')
numbers=$(while IFS=- read first last; do seq $first ${{last:-$first}}; done <<<"$spec")
pending=$(grep -c PENDING {folder}/queue)
if [ $(($(echo "$numbers" | wc -l) + pending)) -gt "$(cat {folder}/most)" ]; then
    cat {folder}/refusal >&2
    exit 1
fi
echo "sbatch $*" >>{folder}/calls
job=$(grep -c ^sbatch {folder}/calls)
for number in $numbers; do echo "$job|$number|PENDING|Priority|" >>{folder}/queue; done
echo "$job"
"""


def handed_to(queue: Queue, place: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[SlurmRows, Noted]:
    """``count`` ranges of two rows from row 10 on, the last with one."""
    monkeypatch.setenv("PATH", f"{queue.folder}:{os.environ['PATH']}")
    monkeypatch.setattr("vda.fvc.slurmrows._LOOK_SECONDS", 0.0)
    place.mkdir()
    ranges, noted = RowRanges(range(10, 10 + 2 * count - 1), 2), Noted(None)

    def missing() -> set[int]:
        queue.run_one()
        return set(ranges.rows) - {row for shard in queue.ran for row in ranges.rows_of(shard)}

    return SlurmRows(place, "#!/bin/bash\n", ClusterOptions(), ranges, missing, 3, noted), noted


def test_where_slurm_takes_no_more_jobs_the_other_rows_come_as_it_takes_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """13 ranges, 4 tasks at once, arrays of fewer than 11: each range is run, and once."""
    queue = Queue(tmp_path / "slurm", 4, 11)
    handed, noted = handed_to(queue, tmp_path / "jobs", 13, monkeypatch)
    handed.run(waits=True)
    assert sorted(queue.ran) == list(range(13))
    assert all(int(line.split("|")[1]) < 11 for line in queue.lines)
    assert [line for line in noted.said if "takes no more jobs" in line and "of 13 ranges" in line]


def test_where_slurm_takes_nothing_that_is_an_error_unless_something_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(tmp_path / "slurm", 0, 1001)
    handed, _ = handed_to(queue, tmp_path / "jobs", 3, monkeypatch)
    with pytest.raises(SubmitLimitError, match="takes no job of yours, though none is queued"):
        handed.run(waits=True)
    queue.set_room(2)
    with pytest.raises(SubmitLimitError, match="only 2 of 3 ranges"):
        handed.run(waits=False)
    queue.set_room(1)
    handed.run(waits=True)
    assert sorted(queue.ran) == [0, 1, 2]


def test_rows_of_a_job_whose_command_died_before_it_noted_it_are_not_submitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges 1 and 2 of three are queued, in an array that begins with range 1, of this folder's batch file."""
    queue = Queue(tmp_path / "slurm", 9, 1001)
    handed, _ = handed_to(queue, tmp_path / "jobs", 3, monkeypatch)
    batch = tmp_path / "jobs" / "shards.sbatch"
    tasks = ["71|0|PENDING|Priority|", "71|1|RUNNING|None|n1"]
    others = [f"72|0|RUNNING|None|n1|{batch}", f"73|0|RUNNING|None|n1|{tmp_path}/shards.sbatch 0 10 2 15"]
    (queue.folder / "mine").write_text("\n".join([*(f"{task}|{batch} 1 10 2 15" for task in tasks), *others]))
    noted = "\n".join(tasks)
    queue.program(
        "squeue", f'case "$*" in *--user=*) cat {queue.folder}/mine ;; *--jobs=71*) echo "{noted}" ;; esac'
    )
    handed.run(waits=False)
    (call,) = (queue.folder / "calls").read_text().splitlines()
    assert "--array=0 " in call
    asked = json.loads((tmp_path / "jobs" / "submitted.json").read_text())
    assert [(entry["job"], entry["first"], entry["shards"]) for entry in asked] == [
        ("71", 12, "0-1"),
        ("1", 10, "0"),
    ]
