"""What is asked of SLURM for a scene: sbatch's own options, of ``--slurm NAME=VALUE`` and of a file.

    vda_run/cluster/slurm.json    {"partition": "gpu", "time": "4:00:00", "at-once": 8}

In: words somebody typed, that file, what a partition has. Out: options, their ``#SBATCH`` lines, or a refusal.
This file does not ask SLURM anything.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vda.errors import UsageError
from vda.files import write_json
from vda.records import is_count, read_record
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene

AT_ONCE = "at-once"
"""The one option that is not sbatch's: so many tasks of a scene run at once, at the most."""
Options = Mapping[str, str | int | bool]

_NAME = re.compile(r"[a-z][a-z0-9-]*")
# What people call it, and what sbatch does.
_SAME = {"memory": "mem", "cpus": "cpus-per-task", "gpu": "gpus"}
# What the batch file says by itself: with another value the scene's files would not tell what runs.
_OURS = {
    "array", "chdir", "clusters", "dependency", "error", "open-mode", "output", "parsable", "quiet", "test-only",
    "wait", "wrap",
}  # fmt: skip
_GPU_OPTIONS = ("gres", "gpus", "gpus-per-node", "gpus-per-task")
_PLAIN_VALUE = re.compile(r"[\w@%+=:,./\[\]{}&|*-]*")
_TIME = re.compile(r"(?:(\d{1,6})-)?(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?")
_ENDLESS = ("infinite", "unlimited")


def slurm_file(scene: Scene) -> Path:
    return cluster_folder(scene) / "slurm.json"


def cluster_folder(scene: Scene) -> Path:
    """Where a scene's batch files are, and what was submitted."""
    return RunFiles(scene.run_dir).folder / "cluster"


@dataclass(frozen=True)
class ClusterOptions:
    """sbatch's long options with their values; True is an option without one. Checked when made."""

    values: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            _require_sound(name, value)

    @classmethod
    def of_words(cls, words: Sequence[str], before: "ClusterOptions | None" = None) -> "ClusterOptions":
        """``partition=gpu``, ``exclusive``; ``qos=`` takes back what ``before`` has. ``UsageError`` for others."""
        values = dict(before.values) if before else {}
        for word in words:
            name, equals, value = word.strip().removeprefix("--").partition("=")
            name = _plain_name(name)
            if equals and not value:
                values.pop(name, None)
            else:
                values[name] = value if equals else True
        return cls(values)

    @classmethod
    def kept_with(cls, scene: Scene) -> "ClusterOptions":
        """The options of the file that is kept with the scene; none where there is none."""
        path = slurm_file(scene)
        if not path.is_file():
            return cls()
        found = read_record(path, dict[str, str | int | bool], "Mend that file, or remove it.")
        values = {_plain_name(name): value for name, value in found.items() if value not in (False, "")}
        try:
            return cls(values)
        except UsageError as error:
            raise UsageError(f"{path}: {error.problem}", error.remedy) from error

    def keep_with(self, scene: Scene) -> None:
        if self.values and self != ClusterOptions.kept_with(scene):
            write_json(slurm_file(scene), dict(self.values))

    def get(self, name: str) -> str:
        """The value as text; empty where the option is not given, or has none."""
        value = self.values.get(name, "")
        return "" if value is True else str(value)

    @property
    def at_once(self) -> int | None:
        return int(self.get(AT_ONCE)) if AT_ONCE in self.values else None

    @property
    def names_gpus(self) -> bool:
        return any(name in self.values for name in _GPU_OPTIONS)

    def lines(self) -> list[str]:
        """The lines of a batch file, each an option of sbatch."""
        return [sbatch_line(name, value) for name, value in self.values.items() if name != AT_ONCE]


def sbatch_line(name: str, value: str | int | bool = True) -> str:
    """An option as sbatch reads it from a batch file, in quotes where that is needed."""
    return f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={_in_quotes(str(value))}"


def minutes_of(time: str) -> float:
    """A time as sbatch(1) has it under --time: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; NaN for what is none."""
    if time.lower() in _ENDLESS:
        return math.inf
    if not (match := _TIME.fullmatch(time)):
        return math.nan
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return int(days) * 1440 + hours * 60 + minutes + seconds / 60
    hours, minutes, seconds = {1: [0, *numbers, 0], 2: [0, *numbers], 3: numbers}[len(numbers)]
    return hours * 60 + minutes + seconds / 60


def _plain_name(name: str) -> str:
    name = name.strip().lower().replace("_", "-")
    return _SAME.get(name, name)


def _require_sound(name: str, value: str | int | bool) -> None:
    shown = name if value is True else f"{name}={value}"
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--slurm {shown!r} names no option of sbatch.",
            "Give NAME=VALUE, such as partition=gpu or time=4:00:00.",
        )
    if name in _OURS:
        raise UsageError(
            f"--slurm {name} is set by the toolkit itself.", "Leave it out; 'man sbatch' lists what else there is."
        )
    if not str(value).isprintable():
        raise UsageError(f"--slurm {name} has a value that is no line of text.", "Give it in one line.")
    if name == AT_ONCE and not (is_count(str(value)) and int(value) > 0):
        raise UsageError(f"--slurm {shown} is not possible.", "Give a whole number of 1 or more.")
    if name == "time" and not minutes_of("" if value is True else str(value)) > 0:
        raise UsageError(
            f"--slurm {shown} is no time.", "Give minutes, HOURS:MINUTES:SECONDS, DAYS-HOURS or infinite."
        )


def _in_quotes(value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def require_possible(
    options: ClusterOptions, partitions: Mapping[str, Mapping[str, str]], gpus: int | None, *, needs_gpu: bool
) -> None:
    """Refuse what SLURM would let wait for ever: it takes jobs that no partition can run.

    ``partitions``: their facts by name, as ``scontrol`` tells; ``gpus``: those of its nodes in all, None where
    it is not known. Raises ``UsageError``.
    """
    name = options.get("partition") or next(
        (name for name, facts in partitions.items() if facts.get("Default") == "YES"), ""
    )
    names = ", ".join(partitions)
    if not name:
        raise UsageError(
            "SLURM has no partition that jobs go to by themselves.", f"Give --slurm partition=NAME, of: {names}."
        )
    # Several may be named, of which the first that is free is taken.
    for one in name.split(","):
        if one not in partitions:
            raise UsageError(f"SLURM has no partition {one}.", f"Give --slurm partition=NAME, of: {names}.")
        _require_time(options, one, partitions[one])
        if (state := partitions[one].get("State", "UP")) != "UP":
            raise UsageError(
                f"The partition {one} is {state}.", f"Name another with --slurm partition=, of: {names}."
            )
    if needs_gpu and gpus == 0:
        raise UsageError(
            f"The partition {name} has no GPUs that SLURM knows of.",
            f"Name another with --slurm partition=, of: {names}; or give --devices cpu, or --slurm gres=.",
        )


def _require_time(options: ClusterOptions, name: str, facts: Mapping[str, str]) -> None:
    asked = minutes_of(options.get("time")) if options.get("time") else 0.0
    limit = minutes_of(facts.get("MaxTime", "UNLIMITED"))
    if asked > limit:
        raise UsageError(
            f"--slurm time={options.get('time')} is more than the partition {name} allows: {facts['MaxTime']}.",
            "Give less; a chunk that needs more goes on where it was, in the next turn.",
        )


def require_seen(paths: Mapping[str, Path], is_single: bool) -> None:
    """Refuse paths that only this machine can see; ``is_single``: all nodes of the partition are this machine."""
    if is_single:
        return
    local = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run"))
    for what, path in paths.items():
        if any(path.resolve().is_relative_to(folder) for folder in local):
            raise UsageError(
                f"{what} ({path}) is where only this machine sees it, and tasks run on other nodes.",
                "Put it on the file system that all nodes share.",
            )
