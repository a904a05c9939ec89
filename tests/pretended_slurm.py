"""Programs of SLURM's that take jobs and run none: what they were asked is in files beside them."""

import os
import stat
from pathlib import Path

import pytest

SBATCH = 'echo "$*" >>"{folder}/submitted"\ngrep -c "" "{folder}/submitted"'
LIVE = 'for job in $(echo "${*##*--jobs=}" | tr , " "); do echo "$job|0|RUNNING|None|n1"; done'


def pretend_slurm(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sbatch: str = SBATCH, *, live: bool = False
) -> None:
    """Put programs into ``folder``, and that on the path. ``live``: every job that was submitted runs for ever.

    ``sbatch`` is what it does once options were looked at: it says the job's number.
    """
    folder.mkdir(exist_ok=True)
    answers = {
        "sbatch": f'case "$*" in *--test-only*) exit 0 ;; esac\n{sbatch.replace("{folder}", str(folder))}',
        "squeue": f'case "$*" in *--jobs=*) {LIVE if live else ":"} ;; esac',
        "sinfo": 'echo "n1|127.0.0.1|4|gpu:2"',
        "scontrol": 'case "$*" in *config*) echo "MaxArraySize = 1001" ;; '
        '*) echo "PartitionName=main Default=YES MaxTime=UNLIMITED Nodes=n1 State=UP" ;; esac',
        "scancel": f'echo "$@" >>"{folder}/cancelled"',
    }
    for name, script in answers.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def submitted(folder: Path) -> list[str]:
    """What ``sbatch`` was called with, job by job."""
    path = folder / "submitted"
    return path.read_text().splitlines() if path.is_file() else []
