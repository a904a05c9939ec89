"""SLURM's programs: sbatch, squeue, sacct, scontrol, sinfo and scancel, run with time-outs and read.

In: job ids, batch files. Out: what SLURM knows, as plain values; its errors as two sentences each. What is read is
asked for by ``--format``, which is the same from version to version; ``--json`` is not, and is no part of many
installations. This file does not know what a job computes.
"""

import getpass
import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vda.errors import UsageError, VdaError, WorkError

# A controller under load takes seconds; one that is away is tried by the programs themselves for a minute.
_TIMEOUT_SECONDS = 45.0
# What would change what the programs print or take, set by a person for herself or by the job that this runs in.
_FOREIGN = ("SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_", "SCONTROL_", "SLURM_TIME_FORMAT")
_OF_A_JOB = re.compile(r"SLURM_(?!CONF$|CLUSTERS$).*|SLURMD_.*")
_WHO_SAYS_IT = re.compile(
    r"^(?:\w+: )?(?:error: |fatal: )?(?:Batch job submission failed: |allocation failure: )?"
)
# What sbatch says before it waits for room in the queue.
_SLEEPING = "sleeping and retrying"
_FIELDS = "%F|%K|%T|%r|%N"
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
"""States (squeue(1), JOB STATE CODES) that do not change any more; in all others a task is queued or at work."""


class SilentSchedulerError(WorkError):
    """SLURM does not answer: nothing is known of its jobs, and nothing was changed."""


class SubmitLimitError(WorkError):
    """SLURM takes no more jobs of this user, or none so large, for now."""


@dataclass(frozen=True)
class ArrayTask:
    """A task of an array as SLURM knows it; ``index`` is -1 for a job that is none."""

    job: str
    index: int
    state: str
    reason: str = ""
    node: str = ""

    @property
    def is_live(self) -> bool:
        return self.state not in ENDED

    @property
    def name(self) -> str:
        return self.job if self.index < 0 else f"{self.job}_{self.index}"


def require_slurm() -> None:
    """Raise ``UsageError`` where the programs are not installed."""
    if missing := [name for name in ("sbatch", "squeue", "scontrol", "scancel") if shutil.which(name) is None]:
        raise UsageError(
            f"There is no program {missing[0]} here, so this machine submits nothing to SLURM.",
            "Give the command on a login node of the cluster, or leave --on slurm out.",
        )


def submit(batch: Path, folder: Path, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> str:
    """Submit the batch file from ``folder``; return the job's id. Raises what ``refused`` makes of an error."""
    command = ["sbatch", "--parsable", *options, str(batch), *arguments]
    answer = _answered(command, _submitted(command, folder))
    job = answer.strip().splitlines()[-1].partition(";")[0] if answer.strip() else ""
    if not job.isdigit():
        raise WorkError(f"sbatch gave no number of a job, but: {answer.strip()!r}.", "Look with 'squeue --me'.")
    return job


def rehearse(batch: Path, folder: Path, options: Sequence[str] = ()) -> None:
    """Ask SLURM whether it would take the batch file; raises what ``refused`` makes of an error.

    That it takes no more jobs for now says nothing of the file.
    """
    with suppress(SubmitLimitError):
        _checked(["sbatch", "--test-only", *options, str(batch)], folder)


def has_room(batch: Path, folder: Path, tasks: int) -> bool:
    """Whether SLURM would take so many tasks of the batch file now, or the most that an array may have."""
    last = min(tasks, int(configuration().get("MaxArraySize", "1001"))) - 1
    try:
        _checked(["sbatch", "--test-only", f"--array=0-{last}", str(batch)], folder)
    except SubmitLimitError:
        return False
    return True


def queued(jobs: Sequence[str]) -> list[ArrayTask]:
    """What the controller knows of ``jobs``: tasks that are queued or run, and those that ended minutes ago."""
    if not jobs:
        return []
    answer = _run(
        ["squeue", "--noheader", "--array", "--states=all", f"--format={_FIELDS}", f"--jobs={','.join(jobs)}"]
    )
    if answer.returncode and "Invalid job id" in answer.stderr:
        return []
    if answer.returncode:
        raise refused("squeue", answer.stderr)
    return [task for task in map(_queued_task, answer.stdout.splitlines()) if task is not None]


@dataclass(frozen=True)
class BatchTask:
    """A task of this user that lives, the name of the batch file that it was submitted by, and its arguments."""

    task: ArrayTask
    batch: str
    arguments: tuple[str, ...]


def live_in(folder: Path) -> list[BatchTask]:
    """What lives of this user's tasks that were submitted by a batch file in ``folder``, whoever noted it or not.

    The controller keeps the command of a job, which no option of sbatch changes. None where SLURM is not here.
    """
    if shutil.which("squeue") is None:
        return []
    answer = _checked(
        ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--format={_FIELDS}|%o"]
    )
    found = []
    for line in answer.splitlines():
        # The command comes last, and may have any letter in it.
        *facts, command = line.strip().split("|", _FIELDS.count("|") + 1)
        task = _queued_task("|".join(facts))
        if task is not None and task.is_live and command.startswith(f"{folder}/"):
            batch, *arguments = command.removeprefix(f"{folder}/").split(" ")
            found.append(BatchTask(task, batch, tuple(arguments)))
    return found


def accounted(jobs: Sequence[str]) -> list[ArrayTask] | None:
    """What the accounting knows of ``jobs``; None where the cluster has none, or it does not answer."""
    if not jobs or shutil.which("sacct") is None:
        return None
    # Not --array, which SLURM 22.05 refuses: a line is a task, or those that never began, as 123_[5-9].
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,NodeList"]
    with suppress(SilentSchedulerError):
        answer = _run([*command, f"--jobs={','.join(jobs)}"])
        if answer.returncode == 0 and "disabled" not in answer.stderr:
            return [task for line in answer.stdout.splitlines() for task in _accounted_tasks(line)]
    return None


def cancel(jobs: Sequence[str]) -> None:
    """End jobs, queued and running; those that ended already do not matter."""
    if jobs:
        answer = _run(["scancel", *jobs])
        if answer.returncode and "Invalid job id" not in answer.stderr:
            raise refused("scancel", answer.stderr)


def configuration() -> dict[str, str]:
    """``scontrol show config``: names and values."""
    pairs = (line.partition("=") for line in _checked(["scontrol", "show", "config"]).splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def partitions() -> dict[str, dict[str, str]]:
    """``scontrol show partition``: the facts of each by name."""
    lines = _checked(["scontrol", "--oneliner", "show", "partition"]).splitlines()
    facts = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines]
    return {one["PartitionName"]: one for one in facts if "PartitionName" in one}


@dataclass(frozen=True)
class NodeFacts:
    """A node as ``sinfo`` tells of it: its address, cores, generic resources such as ``gpu:a100:4(S:0-1)``."""

    name: str
    address: str
    cpus: int
    gres: str

    @property
    def gpus(self) -> int:
        found = re.findall(r"\bgpu(?::[^:,()]+)?:(\d+)", self.gres)
        return sum(map(int, found))

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, as when one tries a cluster on a desk."""
        return self.address in ("127.0.0.1", "localhost", "::1", platform.node(), platform.node().split(".")[0])


def nodes(partition: str) -> list[NodeFacts]:
    """The nodes of a partition (empty: of all)."""
    of = [f"--partition={partition}"] if partition else []
    rows = _checked(["sinfo", "--noheader", "--Node", "--format=%N|%o|%c|%G", *of]).splitlines()
    parts = (row.strip().split("|") for row in rows)
    # "8+" where nodes differ.
    return [
        NodeFacts(name, address, int(cpus.rstrip("+") or 0), gres)
        for name, address, cpus, gres in (part for part in parts if len(part) == 4)
        if cpus.rstrip("+").isdigit()
    ]


def room_may_come(error: SubmitLimitError) -> None:
    """Raise, with what is to be done, where no end of this user's jobs can make room for more of them."""
    if _checked(["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i"]).strip():
        return
    if "SubmitJob" not in error.problem:
        raise error
    raise SubmitLimitError(
        f"SLURM takes no job of yours, though none is queued: {error.problem.partition(': ')[2]}",
        "Name another account or QOS with --slurm, or ask who runs the cluster; 'sacctmgr show associations"
        " user=$USER format=account,qos,maxsubmit,grpsubmit' shows limits.",
    )


def refused(program: str, told: str) -> VdaError:
    """What an error of SLURM means, and what to do about it."""
    lines = [_plain(line) for line in told.splitlines() if line.strip()]
    text = " ".join(lines)
    for pattern, kind, problem, remedy in _MEANINGS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(problem.format(said=text.rstrip(".")), remedy)
    return WorkError(
        f"{program} refuses: {text.rstrip('.') or 'it gave no reason'}.",
        "Change what is asked by --slurm NAME=VALUE, or in the batch file.",
    )


_LIST = "'sinfo -o \"%P %l %G %c %m %f\"' lists partitions with time limit, GPUs, cores, memory and features."
_MEANINGS: tuple[tuple[str, type[VdaError], str, str], ...] = (
    (
        "unable to contact|connect failure|timed out|zero bytes|communication|cannot stat file|resolve|"
        "connection refused",
        SilentSchedulerError,
        "SLURM does not answer: {said}.",
        "Run the same command again when it does; what was computed is kept, and jobs go on by themselves.",
    ),
    # Of all limits sbatch says that they are about jobs, size or time; the word before tells which.
    (
        r"^(?!.*SubmitJob)(?:Assoc|QOS|Max)\w+ .*accounting/QOS policy",
        UsageError,
        "One task asks for more than you may have: {said}.",
        "Ask for less with --slurm time=, cpus=, memory= or gres=, or name another account or qos; 'sacctmgr show"
        " qos' and 'sacctmgr show associations user=$USER' show limits.",
    ),
    (
        "submit limit|SubmitJob|accounting/QOS policy|MaxJobCount|too many|temporarily una(ble|vailable)|"
        "queue full",
        SubmitLimitError,
        "SLURM takes no more jobs of yours for now: {said}.",
        "Run the same command again when some have ended: it submits what is missing.",
    ),
    (
        "partition (name )?specified|invalid partition|partition name",
        UsageError,
        "SLURM has no such partition: {said}.",
        f"Name one with --slurm partition=NAME; {_LIST}",
    ),
    (
        "account",
        UsageError,
        "SLURM does not take the account, or needs one: {said}.",
        "Name one with --slurm account=NAME; 'sacctmgr show associations user=$USER format=account,partition,qos'"
        " lists yours.",
    ),
    (
        "qos",
        UsageError,
        "SLURM does not take the quality of service: {said}.",
        "Name another with --slurm qos=NAME; 'sacctmgr show associations user=$USER format=account,qos' lists"
        " yours.",
    ),
    (
        "time limit|--time spec",
        UsageError,
        "SLURM does not take the time limit: {said}.",
        f"Give --slurm time=HOURS:MINUTES:SECONDS within the partition's; {_LIST}",
    ),
    (
        "gres|generic resource|feature|constraint|node configuration|memory|node count|node name|cpu count|tres",
        UsageError,
        "No node has what is asked for: {said}.",
        f"Change --slurm gres=, memory=, cpus= or constraint=; {_LIST}",
    ),
    (
        "unrecognized option|invalid option|requires an argument|doesn't allow an argument|"
        "invalid .*specification",
        UsageError,
        "sbatch does not take an option: {said}.",
        "Correct it: it is one of --slurm NAME=VALUE, of slurm.json, or a line of the batch file.",
    ),
    (
        "batch script|line breaks|to an interpreter",
        UsageError,
        "SLURM does not take the batch file: {said}.",
        "Mend it, or remove it: the same command then writes it anew.",
    ),
    (
        "permission|not permitted|access denied|disabled",
        UsageError,
        "SLURM does not let you: {said}.",
        "Name another partition or account with --slurm, or ask who runs the cluster.",
    ),
)


def _queued_task(line: str) -> ArrayTask | None:
    parts = line.strip().split("|")
    if len(parts) != 5:
        return None
    job, index, state, reason, node = parts
    return ArrayTask(job, int(index) if index.isdigit() else -1, state, "" if reason == "None" else reason, node)


def _accounted_tasks(line: str) -> Iterable[ArrayTask]:
    """``123_4|CANCELLED by 0|n1``, ``123_[5-9,12%2]|PENDING|None assigned``."""
    name, _, rest = line.strip().partition("|")
    state, _, node = rest.partition("|")
    job, _, index = name.partition("_")
    # "CANCELLED by 1000", "CANCELLED+" where the column is narrow.
    state = state.split(" ")[0].rstrip("+")
    node = "" if node.startswith("None") else node
    for one in indices(index.strip("[]").partition("%")[0]) if index else [-1]:
        yield ArrayTask(job, one, state, "", node)


def indices(spec: str) -> list[int]:
    """The numbers of ``0-3,7``, as SLURM writes them."""
    found: list[int] = []
    for part in filter(None, spec.split(",")):
        first, _, last = part.partition(":")[0].partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _plain(line: str) -> str:
    return re.sub(
        r"^(?:\w+: )?(?:error: |fatal: )?(?:Batch job submission failed: |allocation failure: )?", "", line.strip()
    )


def _checked(command: Sequence[str], folder: Path | None = None) -> str:
    return _answered(command, _run(command, folder))


def _answered(command: Sequence[str], answer: "subprocess.CompletedProcess[str]") -> str:
    if answer.returncode:
        raise refused(command[0], answer.stderr or answer.stdout)
    return answer.stdout


def _run(command: Sequence[str], folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        require_slurm()
        raise
    except subprocess.TimeoutExpired as error:
        raise refused(command[0], f"{command[0]} timed out after {_TIMEOUT_SECONDS:.0f} s") from error


def _submitted(command: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """As ``_run``; but ``sbatch`` is ended where it would try again for minutes, as the queue is full."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            # Ctrl-C is for whoever waits: it may come when the job is there and its number not yet said.
            start_new_session=True,
        )
    except FileNotFoundError:
        require_slurm()
        raise
    said: list[str] = []

    def listen() -> None:
        for line in process.stderr or ():
            said.append(line)
            if _SLEEPING in line:
                process.kill()

    def give_up() -> None:
        said.append("sbatch timed out")
        process.kill()

    ears = threading.Thread(target=listen)
    ears.start()
    late = threading.Timer(_TIMEOUT_SECONDS, give_up)
    late.start()
    with process:
        told = process.stdout.read() if process.stdout else ""
        ears.join()
    late.cancel()
    return subprocess.CompletedProcess(command, process.returncode, told, "".join(said))


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Without what changes the programs' output; inside a job, without what is of that job alone."""
    kept = {name: value for name, value in ours.items() if not name.startswith(_FOREIGN)}
    if "SLURM_JOB_ID" in kept:
        kept = {name: value for name, value in kept.items() if not _OF_A_JOB.fullmatch(name)}
    # The numbers of an array in full; they end in "..." after 64 letters otherwise (sacct(1), squeue(1)).
    return {**kept, "SLURM_BITSTR_LEN": "0"}


def whoami() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())
