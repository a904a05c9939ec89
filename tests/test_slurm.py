"""Chunks handed to SLURM: batch files, which index is which chunk, what its programs say, and what is submitted.

The answers of its programs were recorded from SLURM 22.05.8 (Debian 12), but for those of an accounting, which are
as its manuals have them.
``tests/cluster`` does the same with a real one.
"""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from clips import make_clip

from vda.api import pipeline
from vda.api.engines import joined_status, require_no_jobs, stop_jobs
from vda.api.mergejobs import MergeJobs
from vda.api.todepth import submit_depth
from vda.cli import main
from vda.cluster import following
from vda.cluster.arrays import array_spec, blocks
from vda.cluster.clusteroptions import ClusterOptions, minutes_of, require_possible, require_seen, slurm_file
from vda.cluster.following import judge
from vda.cluster.sbatch import (
    chunks_text,
    default_lines,
    keep_batch,
    log_pattern,
    merge_text,
    signal_seconds,
)
from vda.cluster.slurm import Submission
from vda.cluster.submitted import Known, Submitted, ask, forget_submitted, note_submitted, read_submitted
from vda.cluster.taskfiles import TaskRecord
from vda.errors import SceneError, UsageError, VdaError, WorkError
from vda.launch import slurmcommands
from vda.launch.slurmcommands import (
    ArrayTask,
    NodeFacts,
    SilentSchedulerError,
    SubmitLimitError,
    accounted,
    indices,
    queued,
    refused,
)
from vda.merging.fits import PartsLeft
from vda.merging.settings import MergeSettings
from vda.reporter import Noted
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.supervisor.resolve import RunSettings

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[1]
BASH = shutil.which("bash")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path for programs that answer as recorded; each notes what it was called with."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def program(folder: Path, name: str, says: str = "", errors: str = "", code: int = 0) -> None:
    (folder / f"{name}.out").write_text(says)
    (folder / f"{name}.err").write_text(errors)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "{name} $*" >>"{folder}/calls"\n[ -z "${{SQUEUE_FORMAT:-}}" ] || exit 9\n'
        f'cat "{folder}/{name}.out"\ncat "{folder}/{name}.err" >&2\nexit {code}\n'
    )
    path.chmod(0o755)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.is_file() else []


class TestOptions:
    def test_words_become_lines_of_a_batch_file(self) -> None:
        words = [
            "partition=gpu",
            "memory=16G",
            "cpus=4",
            "exclusive",
            "constraint=a100|h100",
            'comment=it\'s "x" \\ y',
        ]
        assert ClusterOptions.of_words(words).lines() == [
            "#SBATCH --partition=gpu",
            "#SBATCH --mem=16G",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --exclusive",
            "#SBATCH --constraint=a100|h100",
            # As SLURM read it back in ``scontrol show job``.
            '#SBATCH --comment="it\'s \\"x\\" \\\\ y"',
        ]

    def test_given_ones_come_before_kept_ones_and_an_empty_one_takes_back(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        ClusterOptions.of_words(["partition=gpu", "qos=high", "at-once=8"]).keep_with(scene)
        assert json.loads(slurm_file(scene).read_text()) == {"partition": "gpu", "qos": "high", "at-once": "8"}
        options = ClusterOptions.of_words(["partition=fast", "qos="], ClusterOptions.kept_with(scene))
        assert (options.values, options.at_once) == ({"partition": "fast", "at-once": "8"}, 8)
        slurm_file(scene).write_text('{"at_once": 3, "exclusive": true, "requeue": false}')
        assert ClusterOptions.kept_with(scene).values == {"at-once": 3, "exclusive": True}

    @pytest.mark.parametrize(
        "word", ["", "=x", "two words=1", "array=0-3", "output=x", "at-once=0", "time=soon", "a=b\nc"]
    )
    def test_what_sbatch_could_not_be_given_is_refused(self, word: str) -> None:
        with pytest.raises(UsageError):
            ClusterOptions.of_words([word])

    @pytest.mark.parametrize(
        ("text", "minutes"),
        # The formats of sbatch(1), --time.
        [
            ("30", 30), ("30:30", 30.5), ("2:00:00", 120), ("1-0", 1440), ("1-2:30", 1590), ("1-2:30:30", 1590.5),
            ("UNLIMITED", math.inf),
        ],
    )  # fmt: skip
    def test_times_are_read_as_sbatch_reads_them(self, text: str, minutes: float) -> None:
        assert minutes_of(text) == minutes

    def test_what_slurm_would_let_wait_for_ever_is_refused(self) -> None:
        facts = {
            "main": {"Default": "YES", "MaxTime": "1-00:00:00", "State": "UP"},
            "old": {"MaxTime": "UNLIMITED", "State": "DOWN"},
        }
        require_possible(ClusterOptions.of_words(["time=24:00:00"]), facts, 4, needs_gpu=True)
        require_possible(ClusterOptions(), facts, 0, needs_gpu=False)
        for words, gpus, said in [
            (["time=24:00:01"], 4, "1-00:00:00"),
            (["partition=gpu"], 4, "no partition gpu"),
            (["partition=old"], 4, "DOWN"),
            ([], 0, "no GPUs"),
        ]:
            with pytest.raises(UsageError, match=said):
                require_possible(ClusterOptions.of_words(words), facts, gpus, needs_gpu=True)

    def test_a_scene_that_only_this_machine_sees_is_refused(self) -> None:
        require_seen({"The scene": Path("/tmp/film")}, True)
        require_seen({"The scene": Path("/shared/film")}, False)
        with pytest.raises(UsageError, match="only this machine"):
            require_seen({"The scene": Path("/tmp/film")}, False)


class TestArrays:
    def test_numbers_are_written_as_slurm_writes_them_and_read_back(self) -> None:
        numbers = [0, 1, 2, 5, 7, 8]
        assert array_spec(numbers) == "0-2,5,7-8"
        assert indices("0-2,5,7-8") == numbers

    @pytest.mark.parametrize("limit", [2, 10, 100, 1001, 5000, 100001])
    def test_every_chunk_is_in_one_array_below_the_limit(self, limit: int) -> None:
        chunks = [*range(0, 1200), 4000, 123456]
        found = list(blocks(chunks, limit))
        assert sorted(chunk for _, members in found for chunk in members) == chunks
        assert all(0 <= chunk - offset < limit for offset, members in found for chunk in members)

    def test_1200_chunks_are_two_arrays_where_the_limit_is_1001(self) -> None:
        assert [(offset, len(members)) for offset, members in blocks(range(1200), 1001)] == [
            (0, 1000),
            (1000, 200),
        ]

    @pytest.mark.parametrize(
        ("offset", "index", "name"),
        [
            (0, 3, "chunk_003.slurm-7_3.log"), (0, 45678, "chunk_45678.slurm-7_45678.log"),
            (1000, 5, "chunk_1005.slurm-7_5.log"), (10, 3, "chunk_013.slurm-7_3.log"),
            (1230, 4, "chunk_1234.slurm-7_4.log"),
            (120000, 34, "chunk_120034.slurm-7_34.log"),
        ],
    )  # fmt: skip
    def test_logs_are_named_by_the_chunk(self, tmp_path: Path, offset: int, index: int, name: str) -> None:
        pattern = log_pattern(Scene(tmp_path / "50%"), offset)

        def expanded(found: "re.Match[str]") -> str:
            """What sbatch(1) says under FILENAME PATTERN."""
            width, letter = found[1], found[2]
            return "%" if letter == "%" else {"A": "7", "a": str(index)}[letter].zfill(int(width or 0))

        assert re.sub(r"%(\d*)([%Aa])", expanded, pattern) == str(tmp_path / "50%" / "vda_logs" / name)


class TestAnswers:
    @pytest.mark.parametrize(
        ("told", "kind", "words"),
        [
            (
                "sbatch: error: invalid partition specified: nope\n"
                "allocation failure: Invalid partition name specified",
                UsageError,
                "partition=",
            ),
            ("sbatch: error: Invalid generic resource (gres) specification", UsageError, "gres="),
            ("allocation failure: Requested node configuration is not available", UsageError, "sinfo"),
            ("allocation failure: Invalid feature specification", UsageError, "constraint="),
            ("allocation failure: Invalid node name specified", UsageError, "sinfo"),
            ("sbatch: error: Invalid --time specification", UsageError, "time="),
            (
                "sbatch: unrecognized option '--foo=1'\nTry \"sbatch --help\" for more information",
                UsageError,
                "slurm.json",
            ),
            (
                "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
                "sbatch: error: instead of expected UNIX line breaks (\\n).",
                UsageError,
                "Mend it",
            ),
            (
                "sbatch: error: Batch job submission failed: "
                "Invalid account or account/partition combination specified",
                UsageError,
                "account=",
            ),
            (
                "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: "
                "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                SubmitLimitError,
                "same command",
            ),
            (
                "sbatch: error: MaxSubmitJobsPerAccount\nsbatch: error: Batch job submission failed: "
                "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                SubmitLimitError,
                "same command",
            ),
            # A QOS that denies what could never run (DenyOnLimit).
            (
                "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: "
                "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                UsageError,
                "time=",
            ),
            # MaxJobCount, as --test-only says it.
            ("allocation failure: Resource temporarily unavailable", SubmitLimitError, "same command"),
            (
                "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
                SilentSchedulerError,
                "same command",
            ),
            (
                "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
                SilentSchedulerError,
                "jobs go on",
            ),
        ],
    )  # fmt: skip
    def test_what_slurm_refuses_is_said_in_two_sentences(
        self, told: str, kind: type[VdaError], words: str
    ) -> None:
        error = refused("sbatch", told)
        assert type(error) is kind
        assert words in error.remedy
        assert "sbatch: error" not in error.problem and error.problem.count("\n") == 0

    def test_a_full_queue_is_not_waited_for_by_sbatch(self, programs: Path, tmp_path: Path) -> None:
        """MaxJobCount: 22.05.8 says this, and sleeps; it tries again 15 times, for two minutes."""
        said = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
        (programs / "sbatch").write_text(f'#!/bin/sh\necho "{said}" >&2\nexec sleep 60\n')
        (programs / "sbatch").chmod(0o755)
        with pytest.raises(SubmitLimitError, match="temporarily unable"):
            slurmcommands.submit(tmp_path / "x.sbatch", tmp_path)

    def test_squeue_is_read_whatever_the_user_set_for_herself(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SQUEUE_FORMAT", "%i")
        program(
            programs, "squeue",
            "1|3|COMPLETED|None|n2\n2|0|FAILED|JobLaunchFailure|n1\n5|2|RUNNING|None|n2\n5|7|PENDING|Resources|\n"
            "34|N/A|PENDING|PartitionConfig|\n",
        )  # fmt: skip
        assert queued(["1", "2", "5", "34"]) == [
            ArrayTask("1", 3, "COMPLETED", "", "n2"),
            ArrayTask("2", 0, "FAILED", "JobLaunchFailure", "n1"),
            ArrayTask("5", 2, "RUNNING", "", "n2"),
            ArrayTask("5", 7, "PENDING", "Resources", ""),
            ArrayTask("34", -1, "PENDING", "PartitionConfig", ""),
        ]
        assert [task.is_live for task in queued(["1"])] == [False, False, True, True, True]

    def test_jobs_that_the_controller_has_forgotten_are_no_error(self, programs: Path) -> None:
        program(programs, "squeue", errors="slurm_load_jobs error: Invalid job id specified\n", code=1)
        assert queued(["9999"]) == []

    def test_the_numbers_of_an_array_are_asked_for_in_full(self, programs: Path) -> None:
        """As sacct(1) has it: 64 letters of them, unless SLURM_BITSTR_LEN says otherwise."""
        full = ",".join(map(str, range(0, 60, 2)))
        (programs / "sacct").write_text(
            f'#!/bin/sh\nif [ "$SLURM_BITSTR_LEN" = 0 ]; then n={full}; else n={full[:61]}...; fi\n'
            'echo "1_[$n]|CANCELLED by 0|None assigned"\n'
        )
        (programs / "sacct").chmod(0o755)
        found = accounted(["1"])
        assert found is not None and [task.index for task in found] == list(range(0, 60, 2))

    def test_an_accounting_is_read_and_one_that_is_not_there_is_none(self, programs: Path) -> None:
        program(programs, "sacct", errors="Slurm accounting storage is disabled\n", code=1)
        assert accounted(["1"]) is None
        # Elements that wait together, and who cancelled: as sacct(1) shows them.
        program(programs, "sacct", "1_0|TIMEOUT|n1\n1_[2-3]|CANCELLED by 1000|None assigned\n4|COMPLETED|n2\n")
        assert accounted(["1"]) == [
            ArrayTask("1", 0, "TIMEOUT", "", "n1"),
            ArrayTask("1", 2, "CANCELLED", "", ""),
            ArrayTask("1", 3, "CANCELLED", "", ""),
            ArrayTask("4", -1, "COMPLETED", "", "n2"),
        ]

    def test_a_program_that_hangs_is_given_up(self, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (programs / "squeue").write_text("#!/bin/sh\nexec sleep 60\n")
        (programs / "squeue").chmod(0o755)
        monkeypatch.setattr(slurmcommands, "_TIMEOUT_SECONDS", 0.2)
        with pytest.raises(SilentSchedulerError):
            queued(["1"])

    def test_gpus_are_counted_of_what_sinfo_calls_them(self) -> None:
        found = [
            NodeFacts("n", "n", 4, gres).gpus
            for gres in ("gpu:2", "gpu:a100:4(S:0-1),nvme:1", "(null)", "gpu:a:1,gpu:b:2")
        ]
        assert found == [2, 4, 0, 3]


def told(**facts: object) -> TaskRecord:
    plain = {"chunk": 3, "task": "slurm 7_3", "restart": 0, "host": "n1", "pid": 1, "device": "cpu"}
    return TaskRecord(**{**plain, "phase": "failed", "windows": 1, "windows_total": 5, **facts})  # type: ignore[arg-type]


class TestEnds:
    def ended(self, state: str) -> ArrayTask:
        return ArrayTask("7", 3, state, "", "n1")

    def test_what_the_machine_did_is_no_try(self) -> None:
        for state in ("PREEMPTED", "NODE_FAIL"):
            assert judge(self.ended(state), None, False, 2, 3) == (2, "")

    def test_windows_make_good_for_tries(self) -> None:
        assert judge(self.ended("TIMEOUT"), told(exit=75), True, 3, 3) == (0, "")

    def test_tries_without_a_window_are_counted_and_come_to_an_end(self) -> None:
        assert judge(self.ended("FAILED"), None, False, 0, 1) == (1, "")
        tries, reason = judge(self.ended("FAILED"), None, False, 1, 1)
        assert tries == 2 and "7_3" in reason and "FAILED" in reason

    def test_what_a_task_says_of_itself_is_believed(self) -> None:
        assert (
            judge(self.ended("FAILED"), told(exit=1, for_good=True, problem="No video."), False, 0, 3)[1]
            == "No video."
        )
        assert judge(self.ended("FAILED"), told(exit=2, problem="Not fixed."), False, 0, 3)[1] == "Not fixed."
        assert judge(self.ended("FAILED"), told(exit=1, attempts=1, problem="It hung."), False, 0, 3) == (1, "")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path / "the film's 50%")
    split(make_clip(tmp_path / "film.mp4", range(120)), made, PlanSettings(chunks=4))
    return made


def batch_text(scene: Scene, python: str = sys.executable) -> str:
    lines = default_lines("vda-film", log_pattern(scene), ClusterOptions.of_words(["time=10:00"]), "gpu:1", 2)
    text = chunks_text(scene, scene.root / "chunks.sbatch", lines, ["--devices", "cpu"])
    return text.replace(f"python={sys.executable}", f"python={python}")


class TestBatchFiles:
    def test_what_is_asked_for_comes_after_what_is_always_there(self, scene: Scene) -> None:
        lines = [line for line in batch_text(scene).splitlines() if line.startswith("#SBATCH")]
        assert lines[-1] == "#SBATCH --time=10:00"
        assert {"#SBATCH --requeue", "#SBATCH --open-mode=append", "#SBATCH --gres=gpu:1"} <= set(lines)
        gpus = default_lines("x", "y", ClusterOptions.of_words(["gpus-per-task=a100:1"]), "gpu:1")
        assert not any("gres" in line for line in gpus)

    def test_short_jobs_are_told_of_their_end_in_the_middle(self) -> None:
        assert [signal_seconds(time) for time in ("", "1:00:00", "4", "1")] == [120, 120, 120, 30]

    def test_one_that_a_person_changed_is_used_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "chunks.sbatch"
        assert not keep_batch(path, "first\n").is_changed
        # Other options, nothing changed by hand: written anew.
        assert not keep_batch(path, "second\n").is_changed and "second" in path.read_text()
        path.write_text(path.read_text().replace("second", "second, and mine"))
        assert keep_batch(path, "third\n").is_changed and "mine" in path.read_text()
        path.unlink()
        assert not keep_batch(path, "third\n").is_changed

    @pytest.mark.skipif(BASH is None, reason="no bash here")
    def test_bash_takes_it_and_so_the_one_by_hand(self, scene: Scene, tmp_path: Path) -> None:
        path, merge = tmp_path / "chunks.sbatch", tmp_path / "merge.sbatch"
        path.write_text(batch_text(scene))
        merge.write_text(merge_text(scene, merge, [], ["--exr-layer", "it's"]))
        for file in (path, merge, ROOT / "runners" / "slurm_chunks.sbatch"):
            checked = subprocess.run([str(BASH), "-n", str(file)], capture_output=True, text=True)
            assert (checked.returncode, checked.stderr) == (0, "")

    @pytest.mark.skipif(BASH is None, reason="no bash here")
    @pytest.mark.parametrize("which", ["written", "by hand", "merge"])
    @pytest.mark.parametrize(
        ("sent", "code", "restarts", "requeued"),
        [
            (signal.SIGUSR1, 75, 0, True),
            (signal.SIGUSR1, 75, 999, True),
            (signal.SIGUSR1, 75, 1000, False),
            (signal.SIGTERM, 75, 0, False),
            (signal.SIGUSR1, 0, 0, False),
            (signal.SIGUSR1, 1, 0, False),
        ],
    )
    def test_only_a_task_that_slurm_warned_is_queued_again_and_none_for_ever(
        self, scene: Scene, programs: Path, which: str, sent: int, code: int, restarts: int, requeued: bool
    ) -> None:
        """With a task that ends as told once the signal came through, and a scontrol that notes its calls."""
        stand_in = programs / "python"
        stand_in.write_text(
            "#!/bin/bash\n"
            f'echo "$@" >"{programs}/arguments"\ntrap "exit {code}" USR1\n'
            f'touch "{programs}/began"\nwhile :; do read -rt 1 <> <(:) || true; done\n'
        )
        stand_in.chmod(0o755)
        program(programs, "scontrol")
        path = programs / "batch.sbatch"
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "7"}
        environment["SLURM_RESTART_COUNT"] = str(restarts)
        if which == "merge":
            text = merge_text(scene, path, [], [])
            path.write_text(text.replace(f"python={sys.executable}", f"python={stand_in}"))
            command = [str(BASH), str(path), "16"]
        elif which == "written":
            path.write_text(batch_text(scene, str(stand_in)))
            command = [str(BASH), str(path), "1000"]
        else:
            (programs / "vda").symlink_to(stand_in)
            environment |= {"SCENE": str(scene.root), "VDA": str(programs / "vda")}
            command = [str(BASH), str(ROOT / "runners" / "slurm_chunks.sbatch"), str(scene.root), "1000"]
        with subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        ) as batch:
            try:
                while not (programs / "began").exists() and batch.poll() is None:
                    time.sleep(0.01)
                batch.send_signal(sent)
                assert batch.wait(timeout=300) == code
            finally:
                if batch.poll() is None:
                    os.killpg(batch.pid, signal.SIGKILL)
        asked = "--part 3/16" if which == "merge" else "--chunk 1003"
        assert asked in (programs / "arguments").read_text()
        assert str(scene.root) in (programs / "arguments").read_text()
        assert calls(programs) == (["scontrol requeue 7_3"] if requeued else [])


class TestWhatIsKnown:
    def test_the_last_job_of_a_chunk_counts_and_any_live_one(self, scene: Scene, programs: Path) -> None:
        for entry in (
            Submitted("slurm", "3", "merge"),
            Submitted("slurm", "2", chunks="1", offset=1),
            Submitted("ray", "x"),
            Submitted("slurm", "1", chunks="0-3"),
        ):
            note_submitted(scene, entry)
        assert [entry.job for entry in read_submitted(scene)] == ["1", "2", "3"]
        program(
            programs, "squeue",
            "1|0|RUNNING|None|n1\n1|1|FAILED|NonZeroExitCode|n1\n1|2|PENDING|Priority|\n2|0|COMPLETED|None|n2\n"
            "3|N/A|PENDING|Dependency|\n",
        )  # fmt: skip
        # Of index 3 the controller knows nothing any more.
        program(programs, "sacct", "1_3|TIMEOUT|n2\n1_0|FAILED|n1\n")
        known = ask(scene)
        assert {chunk: task.state for chunk, task in known.by_chunk.items()} == {
            0: "RUNNING", 1: "COMPLETED", 2: "PENDING", 3: "TIMEOUT",
        }  # fmt: skip
        assert sorted(known.live) == [0, 2] and known.live_jobs == ["1", "3"] and known.has_accounting

    def test_a_scheduler_that_is_away_is_said(self, scene: Scene, programs: Path) -> None:
        note_submitted(scene, Submitted("slurm", "1", chunks="0-3"))
        program(
            programs,
            "squeue",
            errors="slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
            code=1,
        )
        with pytest.raises(SilentSchedulerError, match="does not answer"):
            ask(scene)


# As 22.05.8 printed them, shortened.
CONFIG = "AccountingStorageType   = accounting_storage/none\nMaxArraySize            = 1001\n"
PARTITION = (
    "PartitionName=main AllowGroups=ALL Default=YES DefaultTime=NONE MaxTime=UNLIMITED Nodes=n[1-2] State=UP\n"
    "PartitionName=urgent AllowGroups=ALL Default=NO DefaultTime=NONE MaxTime=00:10:00 Nodes=n[1-2] State=UP\n"
)
SUBMIT_LIMIT = (
    "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)"
)


@pytest.fixture
def cluster(programs: Path) -> Path:
    """Programs that take jobs and run none: ``squeue.out`` says what becomes of them."""
    program(programs, "squeue")
    program(programs, "scancel")
    program(programs, "sinfo", "n1|127.0.0.1|4|gpu:2\nn2|127.0.0.1|4|gpu:2\n")
    (programs / "config").write_text(CONFIG)
    (programs / "partition").write_text(PARTITION)
    (programs / "refusal").write_text(SUBMIT_LIMIT)
    (programs / "scontrol").write_text(
        f'#!/bin/sh\ncase "$*" in *config*) cat "{programs}/config" ;; *) cat "{programs}/partition" ;; esac\n'
    )
    # Takes at most as many tasks at once as the file ``most`` says: of arrays written as FIRST-LAST.
    (programs / "sbatch").write_text(
        f'''#!/bin/bash
case "$*" in *--test-only*) exit 0 ;; esac
[[ "$*" =~ --array=([0-9]+)-?([0-9]*) ]]
count=$(( ${{BASH_REMATCH[2]:-${{BASH_REMATCH[1]}}}} - BASH_REMATCH[1] + 1 ))
if [ -e "{programs}/most" ] && [ "$count" -gt "$(cat "{programs}/most")" ]; then
    cat "{programs}/refusal" >&2
    exit 1
fi
echo "sbatch $*" >>"{programs}/calls"
grep -c ^sbatch "{programs}/calls"
'''
    )
    for name in ("scontrol", "sbatch"):
        (programs / name).chmod(0o755)
    return programs


def have_room(programs: Path, tasks: int) -> None:
    """Have SLURM take so many tasks more, of arrays written as FIRST-LAST."""
    (programs / "room").write_text(str(tasks))
    (programs / "sbatch").write_text(
        f'''#!/bin/bash
[[ "$*" =~ --array=([0-9]+)-?([0-9]*) ]]
left=$(( $(cat "{programs}/room") - ${{BASH_REMATCH[2]:-${{BASH_REMATCH[1]:-0}}}} + ${{BASH_REMATCH[1]:-0}} - 1 ))
if [ "$left" -lt 0 ]; then
    cat "{programs}/refusal" >&2
    exit 1
fi
case "$*" in *--test-only*) exit 0 ;; esac
echo "$left" >"{programs}/room"
echo "sbatch $*" >>"{programs}/calls"
grep -c ^sbatch "{programs}/calls"
'''
    )


class TestRuns:
    def hand_over(self, scene: Scene, *words: str, on: str = "slurm", waits: bool = False) -> Noted:
        noted = Noted(None)
        settings = RunSettings("mini", devices="cpu", threads=1, on="slurm", slurm=words)
        pipeline.run([scene], settings, noted, waits=waits)
        return noted

    def submitted(self, programs: Path) -> list[str]:
        return [call for call in calls(programs) if call.startswith("sbatch")]

    def test_what_is_missing_is_submitted_once(self, scene: Scene, cluster: Path) -> None:
        self.hand_over(scene, "time=10:00", "at-once=2")
        [call] = self.submitted(cluster)
        assert "--array=0-3%2 " in call and call.endswith(f"{scene.root}/vda_run/cluster/chunks.sbatch 0")
        (cluster / "squeue.out").write_text(
            "1|0|RUNNING|None|n1\n1|1|PENDING|Priority|\n1|2|TIMEOUT|TimeLimit|n1\n1|3|PENDING|Priority|\n"
        )
        self.hand_over(scene)
        assert len(self.submitted(cluster)) == 2
        # What was given is kept, and what is at work is waited for where there is a limit.
        assert "--array=2%2 --dependency=afterany:1 " in self.submitted(cluster)[1]
        assert "--time=10:00" in (scene.root / "vda_run" / "cluster" / "chunks.sbatch").read_text()
        assert [entry.chunks for entry in read_submitted(scene)] == ["0-3", "2"]

    def test_tasks_are_told_what_decodes(self, scene: Scene, cluster: Path) -> None:
        on_gpus = RunSettings("mini", threads=1, on="slurm", decoder="gpu")
        pipeline.run([scene], on_gpus, Noted(None), waits=False)
        batch = scene.root / "vda_run" / "cluster" / "chunks.sbatch"
        assert " --decoder gpu" in batch.read_text()
        with pytest.raises(UsageError, match="--decoder gpu is for NVIDIA's GPUs"):
            pipeline.run([scene], replace(on_gpus, devices="cpu"), Noted(None), waits=False)

    def test_tasks_are_told_where_to_keep_a_copy_of_the_video(self, scene: Scene, cluster: Path) -> None:
        settings = RunSettings("mini", devices="cpu", threads=1, on="slurm", stage_video="/local disk")
        heard = Noted(None)
        pipeline.run([scene], settings, heard, waits=False)
        size = scene.video().path.stat().st_size / 1e6
        said = f"Each node with a task copies all of film.mp4 first: {size:.1f} MB, for 4 chunks in all."
        assert said in heard.said
        text = (scene.root / "vda_run" / "cluster" / "chunks.sbatch").read_text()
        [line] = [line for line in text.splitlines() if '-m vda task "$scene"' in line]
        assert shlex.split(line.rstrip("&"))[-2:] == ["--stage-video", "/local disk"]
        with pytest.raises(UsageError, match="--on slurm"):
            RunSettings(stage_video="auto")

    def test_where_slurm_takes_no_more_jobs_the_others_come_later(self, scene: Scene, cluster: Path) -> None:
        (cluster / "most").write_text("1")
        self.hand_over(scene)
        assert [entry.chunks for entry in read_submitted(scene)] == ["0", "1", "2", "3"]
        (cluster / "most").write_text("0")
        forget_submitted(scene, "1234")
        with pytest.raises(SubmitLimitError, match="no job of yours, though none is queued: AssocMax") as told:
            self.hand_over(scene)
        assert "sacctmgr show associations" in told.value.remedy

    def test_without_waiting_what_slurm_had_no_room_for_is_an_error(
        self, scene: Scene, cluster: Path, tmp_path: Path
    ) -> None:
        """Five tasks of two scenes' eight: the second one's only chunk is not undone, and each is told of."""
        other = Scene(tmp_path / "other")
        split(tmp_path / "film.mp4", other, PlanSettings(chunks=4))
        have_room(cluster, 5)
        apart: dict[Scene, VdaError] = {}
        settings = RunSettings("mini", devices="cpu", threads=1, on="slurm")
        pipeline.run([scene, other], settings, Noted(None), waits=False, apart=apart)
        assert list(apart) == [other]
        assert f"only 1 of 4 chunks of {other.root} are submitted" in apart[other].problem
        assert "without --detach" in apart[other].remedy
        assert [entry.chunks for one in (scene, other) for entry in read_submitted(one)] == ["0-3", "0"]

    @pytest.mark.parametrize(("room", "others", "under_way"), [(3, "", 3), (0, "77\n", 0), (0, "", None)])
    def test_room_is_waited_for_where_it_may_come(
        self,
        scene: Scene,
        cluster: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        room: int,
        others: str,
        under_way: int | None,
    ) -> None:
        """It may as something of this user's ends: a chunk of these scenes, or another job."""
        other = Scene(tmp_path / "other")
        split(tmp_path / "film.mp4", other, PlanSettings(chunks=4))
        have_room(cluster, room)
        program(cluster, "squeue", others)
        followed: list[list[int]] = []

        class Nobody:
            def __init__(self, submitted: list[tuple[object, list[int]]], *_more: object) -> None:
                followed.extend(chunks for _, chunks in submitted)

            def run(self) -> None:
                pass

        monkeypatch.setattr("vda.api.engines.follow", Nobody)
        noted, settings = Noted(None), RunSettings("mini", devices="cpu", threads=1, on="slurm")
        if under_way is None:
            with pytest.raises(SubmitLimitError, match="though none is queued"):
                pipeline.run([scene, other], settings, noted)
            assert not followed
        else:
            pipeline.run([scene, other], settings, noted)
            assert followed == [list(range(under_way)), []]
            said = [line for line in noted.said if "takes no more jobs" in line]
            assert [f"{taken} of 4 chunks of" in line for taken, line in zip((under_way, 0), said, strict=True)]

    def test_a_merge_is_submitted_once_all_chunks_are(self, scene: Scene, cluster: Path, tmp_path: Path) -> None:
        def asked() -> None:
            settings = RunSettings("mini", devices="cpu", threads=1, on="slurm")
            submit_depth([tmp_path / "film.mp4"], [scene.root], settings, MergeSettings())

        have_room(cluster, 3)
        with pytest.raises(SubmitLimitError, match="only 3 of 4 chunks"):
            asked()
        assert not any("merge.sbatch" in call for call in self.submitted(cluster))
        have_room(cluster, 2)
        (cluster / "squeue.out").write_text(
            "".join(f"{job}|{index}|RUNNING|None|n1\n" for job, index in ((1, 0), (1, 1), (2, 2)))
        )
        asked()
        assert "--dependency=afterany:" in self.submitted(cluster)[-1]

    @pytest.mark.parametrize(
        ("room", "jobs"),
        [
            (12, ["fits", "--array=0-9 10", "end"]), (11, ["fits", "--array=0-4 5", "end"]),
            (3, ["fits", "--array=0 1", "end"]), (2, ["all"]), (1, ["all"]), (0, []),
        ],
    )  # fmt: skip
    def test_a_merge_has_as_many_ranges_as_slurm_has_room_for(
        self, scene: Scene, cluster: Path, room: int, jobs: list[str]
    ) -> None:
        have_room(cluster, room)
        merge = MergeJobs(scene, MergeSettings(), (), Noted(None))
        left = PartsLeft(None, tuple(range(10)), 10, 160)
        if jobs:
            merge.submit(left, 10)
        else:
            with pytest.raises(SubmitLimitError):
                merge.submit(left, 10)
        asked = [re.findall(r"--array=\S+|(?<=merge.sbatch )\S+", call) for call in self.submitted(cluster)]
        assert [" ".join(words) for words in asked] == jobs

    @pytest.mark.parametrize("waits", [False, True])
    def test_a_job_whose_command_died_before_it_noted_it_is_found_by_its_batch_file(
        self, scene: Scene, cluster: Path, waits: bool
    ) -> None:
        self.hand_over(scene)
        forget_submitted(scene, ["1"])
        batch = scene.root / "vda_run" / "cluster" / "chunks.sbatch"
        of_job = "1|0|RUNNING|None|n1\n1|1|PENDING|Priority|\n"
        lines = [
            f"1|0|RUNNING|None|n1|{batch} 0",
            f"1|1|PENDING|Priority||{batch} 0",
            # Another scene's, one that has ended, and what a person submitted by hand.
            f"7|2|PENDING|Priority||{scene.root}2/vda_run/cluster/chunks.sbatch 0",
            f"8|3|COMPLETED|None|n1|{batch} 0",
            f"9|N/A|RUNNING|None|n1|{batch.with_name('mine.sbatch')}",
            f"10|2|RUNNING|None|n1|{batch}",
        ]
        (cluster / "mine").write_text("\n".join(lines))
        (cluster / "squeue.out").write_text(of_job)
        (cluster / "squeue").write_text(
            f'#!/bin/sh\ncase "$*" in *--user=*) cat "{cluster}/mine" ;; *--jobs=1*) cat "{cluster}/squeue.out" ;;'
            " esac\n"
        )
        status = joined_status(scene)
        assert status["engine"]["jobs"] == status["engine"]["live_jobs"] == ["1"]
        assert [chunk["task"] for chunk in status["chunks"]] == ["1_0", "1_1", None, None]
        with pytest.raises(SceneError, match="queued or at work: 1"):
            require_no_jobs(scene)
        assert not read_submitted(scene)
        # The same command again submits the others alone, and notes it; so does one that waits for room.
        if waits:
            settings = RunSettings("mini", devices="cpu", threads=1, on="slurm")
            submission = Submission.of(scene, settings, Noted(None))
            following._Followed.of(submission, [], None).settle(Known(), 3, Noted(None))
        else:
            self.hand_over(scene)
        assert "--array=2-3 " in self.submitted(cluster)[-1]
        assert [(entry.job, entry.chunks) for entry in read_submitted(scene)] == [("1", "0-1"), ("2", "2-3")]
        forget_submitted(scene, ["1", "2"])
        assert stop_jobs(scene) == ["1"]
        assert [call for call in calls(cluster) if call.startswith("scancel")] == ["scancel 1"]

    def test_what_is_known_to_fail_is_refused_before_anything_is_written(
        self, scene: Scene, cluster: Path
    ) -> None:
        for words, said in [
            (("partition=nope",), "no partition nope"),
            (("partition=urgent", "time=11"), "00:10:00"),
        ]:
            with pytest.raises(UsageError, match=said):
                self.hand_over(scene, *words)
        (cluster / "config").write_text("MaxArraySize = 0\n")
        with pytest.raises(UsageError, match="MaxArraySize"):
            self.hand_over(scene)
        assert not scene.run_path.exists() and not self.submitted(cluster)

    def test_a_scene_whose_path_slurm_cannot_have_is_refused(self, scene: Scene, cluster: Path) -> None:
        moved = Scene(scene.root.rename(scene.root.with_name("a\\b")))
        with pytest.raises(UsageError, match="backslash"):
            self.hand_over(moved)

    def test_depth_without_waiting_is_chunks_and_a_merge_after_any_end_of_them(
        self, scene: Scene, cluster: Path, tmp_path: Path
    ) -> None:
        def asked() -> None:
            settings = RunSettings("mini", devices="cpu", threads=1, on="slurm")
            submit_depth([tmp_path / "film.mp4"], [scene.root], settings, MergeSettings())

        (cluster / "squeue.out").write_text("1|0|PENDING|Priority|\n1|1|RUNNING|None|n1\n")
        asked()
        chunks, merge = self.submitted(cluster)
        assert (
            "--array=0-3 " in chunks and "--dependency=afterany:1 " in merge and merge.endswith("merge.sbatch all")
        )
        (cluster / "squeue.out").write_text(
            "".join(f"1|{index}|PENDING|Priority|\n" for index in range(4)) + "2|N/A|PENDING|Dependency|\n"
        )
        asked()
        assert len(self.submitted(cluster)) == 2
        # What is submitted again is to be waited for as well.
        (cluster / "squeue.out").write_text(
            "1|0|CANCELLED|None|\n1|1|RUNNING|None|n1\n2|N/A|PENDING|Dependency|\n"
        )
        program(cluster, "scancel", "")
        asked()
        assert [call for call in calls(cluster) if call.startswith("scancel")] == ["scancel 2"]
        again, merge = self.submitted(cluster)[2:]
        assert "--array=0,2-3 " in again and "--dependency=afterany:1:3 " in merge

    def test_of_several_films_the_one_that_could_not_be_merged_is_left_out(
        self, scene: Scene, cluster: Path, tmp_path: Path
    ) -> None:
        films = [make_clip(tmp_path / f"{name}.mp4", range(4)) for name in "abc"]
        roots = [tmp_path / "scenes" / film.stem for film in films]
        (roots[1] / "vda_merged_depth").mkdir(parents=True)
        (roots[1] / "vda_merged_depth" / "depth_000000.png").write_bytes(b"of another program")
        settings = RunSettings("mini", devices="cpu", threads=1, on="slurm")
        with pytest.raises(WorkError, match="1 of 3 videos failed") as told:
            submit_depth(films, roots, settings, MergeSettings())
        [part] = told.value.parts
        assert part.startswith(str(films[1])) and "holds depth that no merge here has written" in part
        batches = [call.split()[-2] for call in self.submitted(cluster)]
        names = ("chunks", "merge")
        assert batches == [
            f"{root}/vda_run/cluster/{name}.sbatch" for root in (roots[0], roots[2]) for name in names
        ]

    @pytest.mark.parametrize(
        "begin",
        [
            "run",
            "split",
            "depth",
            "run --on slurm",
            "depth --on slurm --detach",
            "depth --dry-run",
            "run --dry-run",
        ],
    )
    def test_nothing_is_begun_anew_under_jobs_that_live(
        self, scene: Scene, cluster: Path, tmp_path: Path, begin: str
    ) -> None:
        self.hand_over(scene)
        plan, settings = scene.plan_path.read_bytes(), scene.run_path.read_bytes()
        (cluster / "squeue.out").write_text("1|0|PENDING|Priority|\n")
        command, *options = begin.split()
        what = [scene.root] if command == "run" else [tmp_path / "film.mp4", "--scene", scene.root]
        model = [] if command == "split" else ["--model", "mini"]
        words = [command, *what, *options, *model, "--devices", "cpu", "--restart"]
        told = CliRunner().invoke(main, list(map(str, words)))
        assert told.exit_code == 2, told.output
        assert "are queued or at work: 1. End them first with 'vda stop" in told.stderr.replace("\n", " ")
        assert (scene.plan_path.read_bytes(), scene.run_path.read_bytes()) == (plan, settings)

    def test_status_joins_what_slurm_says_and_stopping_cancels(self, scene: Scene, cluster: Path) -> None:
        self.hand_over(scene)
        (cluster / "squeue.out").write_text("1|0|RUNNING|None|n1\n1|1|PENDING|Priority|\n")
        status = joined_status(scene)
        assert status["state"] == "running"
        assert [(chunk["state"], chunk["task"], chunk["task_state"]) for chunk in status["chunks"]] == [
            ("running", "1_0", "RUNNING"),
            ("waiting", "1_1", "PENDING (Priority)"),
            ("waiting", None, None),
            ("waiting", None, None),
        ]
        assert stop_jobs(scene) == ["1"]
        assert "scancel 1" in calls(cluster) and RunFiles(scene.run_dir).stop_path.exists()
        program(cluster, "squeue", errors="slurm_load_jobs error: Unable to contact slurm controller", code=1)
        assert "does not answer" in joined_status(scene)["engine"]["problem"]
        RunFiles(scene.run_dir).stop_path.unlink()
        with pytest.raises(SilentSchedulerError):
            stop_jobs(scene)
        assert RunFiles(scene.run_dir).stop_path.exists()

    def test_tasks_that_fail_without_a_word_are_given_up_with_their_log(
        self, scene: Scene, cluster: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "_LOOK_SECONDS", 0.0)
        monkeypatch.setattr(following, "_ASK_SECONDS", 0.0)
        monkeypatch.setattr(following, "_MOST_ASK_SECONDS", 0.0)
        (cluster / "squeue").write_text(
            "#!/bin/sh\nfor job in 1 2 3 4 5; do for i in 0 1 2 3; do"
            ' echo "$job|$i|FAILED|NonZeroExitCode|n1"; done; done\n'
        )
        scene.logs_dir.mkdir()
        for job in range(1, 6):
            (scene.logs_dir / f"chunk_003.slurm-{job}_3.log").write_text(f"no python, says job {job}\n")
        with pytest.raises(WorkError, match=r"chunk 0 .*chunk 3") as failed:
            self.hand_over(scene, waits=True)
        # Once, and three times again.
        assert len(self.submitted(cluster)) == 4
        assert failed.value.tail == "no python, says job 4"

    def test_a_job_that_is_cancelled_whole_is_not_begun_again(
        self, scene: Scene, cluster: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "_LOOK_SECONDS", 0.0)
        monkeypatch.setattr(following, "_ASK_SECONDS", 0.0)
        (cluster / "squeue.out").write_text("".join(f"1|{index}|CANCELLED|None|n1\n" for index in range(4)))
        with pytest.raises(WorkError, match="was cancelled"):
            self.hand_over(scene, waits=True)
        assert len(self.submitted(cluster)) == 1


def test_without_slurm_it_is_refused_at_the_start(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UsageError, match="no program sbatch"):
        slurmcommands.require_slurm()


def test_a_number_that_is_none_is_no_job(programs: Path, tmp_path: Path) -> None:
    program(programs, "sbatch", "123;cluster\n")
    assert slurmcommands.submit(tmp_path / "x", tmp_path) == "123"
    program(programs, "sbatch", "welcome\n")
    with pytest.raises(WorkError):
        slurmcommands.submit(tmp_path / "x", tmp_path)
