"""Batch files for SLURM.

In: a scene, options, how its tasks compute. Out: ``vda_run/cluster/chunks.sbatch``, and which array index is which
chunk. A batch file that a person changed is used as it is. This file asks SLURM nothing.
"""

import hashlib
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vda.cluster.arrays import number_pattern
from vda.cluster.clusteroptions import ClusterOptions, cluster_folder, minutes_of, sbatch_line
from vda.files import write_bytes
from vda.scene.scene import Scene
from vda.shown import quoted

# Time for a window in hand of a large model. A shorter time limit leaves half of itself.
SIGNAL_SECONDS = 120
_WRITTEN = "# As written: "
_CHANGED = "# Whoever changes this file has it used as it is. Without it, the same command writes it anew."


@dataclass(frozen=True)
class Batch:
    """A batch file: where it is, and whether somebody changed it since it was written."""

    path: Path
    is_changed: bool


def keep_batch(path: Path, text: str) -> Batch:
    """Write the batch file, unless a person changed the one that is there: that is used as it is."""
    if path.is_file():
        there = path.read_text(errors="surrogateescape")
        if not _is_as_written(there):
            return Batch(path, True)
        if there == _sealed(text):
            return Batch(path, False)
    write_bytes(path, _sealed(text).encode(errors="surrogateescape"))
    return Batch(path, False)


def _sealed(text: str) -> str:
    return f"{text}\n{_CHANGED}\n{_WRITTEN}{_digest(text)}\n"


def _is_as_written(there: str) -> bool:
    text, _, end = there.rpartition(f"\n{_CHANGED}\n{_WRITTEN}")
    return end.strip() == _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def log_pattern(scene: Scene, offset: int = 0) -> str:
    """``--output`` of an array: ``chunk_003.slurm-123_3.log`` beside the other logs; a % in the path is doubled.

    ``%A`` is the array's job, ``%a`` the index (sbatch(1), FILENAME PATTERN).
    """
    return f"{_without_patterns(scene.logs_dir.resolve())}/chunk_{number_pattern(offset)}.slurm-%A_%a.log"


def chunk_log(scene: Scene, task: str, chunk: int) -> Path:
    """The log of a ``task`` such as ``123_3``: what it prints, and what SLURM says of it."""
    return scene.logs_dir / f"chunk_{chunk:03d}.slurm-{task}.log"


def _without_patterns(path: Path) -> str:
    return str(path).replace("%", "%%")


def job_name(scene: Scene, work: str = "") -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", scene.root.resolve().name).strip("-") or "scene"
    return f"vda-{name}{work and '-'}{work}"


def default_lines(name: str, log: str, options: ClusterOptions, gres: str = "", cpus: int = 0) -> list[str]:
    """The options that every job of the toolkit has, before those asked for, which win (sbatch: the last does)."""
    lines = [
        sbatch_line("job-name", name),
        sbatch_line("output", log),
        sbatch_line("open-mode", "append"),
        sbatch_line("requeue"),
        sbatch_line("signal", f"B:USR1@{signal_seconds(options.get('time'))}"),
        sbatch_line("ntasks", "1"),
    ]
    if cpus and "cpus-per-task" not in options.values:
        lines.append(sbatch_line("cpus-per-task", str(cpus)))
    if gres and not options.names_gpus:
        lines.append(sbatch_line("gres", gres))
    return [*lines, *options.lines()]


def signal_seconds(time_limit: str) -> int:
    """So long before the time limit a task is told of it; it may come a minute early (sbatch(1), --signal)."""
    minutes = minutes_of(time_limit) if time_limit else float("inf")
    return SIGNAL_SECONDS if minutes * 30 >= SIGNAL_SECONDS else max(round(minutes * 30), 1)


_CHUNKS = """\
#!/bin/bash
# The chunks of a scene as a job array of SLURM: each array task computes one chunk, or what is missing of it.
# Index I of the array is chunk OFFSET + I, where OFFSET is this file's first argument, or 0.
# Submitted by:
#   vda run {scene} --on slurm
# By hand, for chunks 0 to 17, eight at once:
#   sbatch --array=0-17%8 {batch}
{lines}

scene={scene}
python={python}
chunk=$((${{1:-0}} + SLURM_ARRAY_TASK_ID))
{environment}
{watched}"""

_WATCHED = """\
# USR1 comes ahead of the time limit and of preemption: the task ends where it can go on from, and it alone is
# queued again. TERM comes where SLURM ends or requeues it by itself: then nothing is queued again from here.
told=
trap 'told=USR1; kill -USR1 "$task" 2>/dev/null' USR1
trap 'told=TERM; kill -USR1 "$task" 2>/dev/null' TERM

name=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
restart=${SLURM_RESTART_COUNT:-0}
echo "WHAT: task ${name:=$SLURM_JOB_ID} on ${SLURMD_NODENAME:-$HOSTNAME}, restart $restart"
COMMAND &
task=$!
# A signal ends the waiting, not the task.
while kill -0 "$task" 2>/dev/null; do
    wait "$task"
done
wait "$task"
code=$?
[ -z "$told" ] || echo "It was told to end ($told), and ended with $code."
AFTERWARDS

# 75: stopped before its end, to be started again. One that comes no further ends with another code in the end; and
# whatever it waits for, such as another that has its work, it does not wait for ever.
if [ "$code" -eq 75 ] && [ "$told" != TERM ] && [ ! -e "$scene/vda_run/stop" ] && [ "$restart" -lt MOST ]; then
    scontrol requeue "$name"
fi
exit "$code"
"""
# With SLURM's pause before a task begins again, a day and more.
_MOST_RESTARTS = 1000


def watched(what: str, command: str, afterwards: str = "") -> str:
    """The end of a batch file that has set ``scene``: ``command`` is run, and queued again where that is right.

    ``what`` is what the log calls it, ``afterwards`` follows once ``code`` is known; all as a shell takes them.
    """
    text = _WATCHED.replace("MOST", str(_MOST_RESTARTS)).replace("AFTERWARDS\n", afterwards, 1)
    return text.replace("WHAT", what).replace("COMMAND", command)


def chunks_text(
    scene: Scene, path: Path, lines: Sequence[str], arguments: Sequence[str], path_variable: str = ""
) -> str:
    """The batch file of a scene's chunks; ``arguments`` are those of ``vda task``, as a shell takes them.

    ``path_variable`` is the login's PYTHONPATH: part of the file, so that it can be submitted from anywhere.
    """
    return _CHUNKS.format(
        **_head(scene, path, lines, path_variable),
        watched=watched("chunk $chunk", f'"$python" -m vda task "$scene" --chunk "$chunk" {" ".join(arguments)}'),
    )


_MERGE = """\
#!/bin/bash
# Merges the depth of a scene in parts that several nodes make at once.
# By hand, in this order, each once those before it have ended:
#   sbatch {batch} fits
#   sbatch --array=0-9 {batch} 10
#   sbatch {batch} end
# or all of it by one task:
#   sbatch {batch} all
{lines}

scene={scene}
python={python}
{environment}
part=()
case "${{1:?fits, end, all, or how many ranges the array has}}" in
fits) part=(--part fits {options}) ;;
end) part=(--part end) ;;
all) part=({options}) ;;
*) part=(--part "$SLURM_ARRAY_TASK_ID/$1") ;;
esac

# A range goes on behind the blocks of frames that it has; all else would begin anew, and is not queued again.
{watched}"""
_REPORT_AFTERWARDS = """\
if [ "$code" -eq 0 ] && [ "$1" = all ]; then "$python" -m vda report "$scene" --quiet; fi
"""


def merge_text(
    scene: Scene, path: Path, lines: Sequence[str], options: Sequence[str], path_variable: str = ""
) -> str:
    """The batch file of all jobs of a scene's merge, whose first argument says which part; as ``chunks_text``.

    ``options`` are those of ``vda merge``, a word each.
    """
    return _MERGE.format(
        **_head(scene, path, lines, path_variable),
        options=shlex.join(options),
        watched=watched(
            "merge ${part[*]}", '"$python" -m vda merge "$scene" "${part[@]}" --quiet', _REPORT_AFTERWARDS
        ),
    )


def _head(scene: Scene, path: Path, lines: Sequence[str], path_variable: str) -> dict[str, str]:
    """What the batch files of chunks and of merges begin with, by its name in the text."""
    return {
        "scene": shlex.quote(str(scene.root.resolve())),
        "batch": quoted(path.resolve()),
        "python": shlex.quote(sys.executable),
        "lines": "\n".join(lines),
        "environment": _exported(path_variable),
    }


def _exported(path_variable: str) -> str:
    return f"export PYTHONPATH={shlex.quote(path_variable)}\n" if path_variable else ""


def proof_text(scene: Scene, lines: Sequence[str], command: Sequence[str], path_variable: str) -> str:
    """The batch file of a first job, which tries half precision and leaves its exit code in ``proof_code``."""
    code = shlex.quote(str(proof_code(scene, "").resolve()))
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            _exported(path_variable),
            shlex.join(command),
            f'echo $? > {code}"$SLURM_JOB_ID"',
        ]
    )


def proof_code(scene: Scene, job: str) -> Path:
    return cluster_folder(scene) / "proofs" / f"exit_code_{job}"
