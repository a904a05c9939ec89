"""How much memory and disk this machine has left, as far as this process may use them.

In: the kernel's files. Out: ``HostMemory`` and bytes. A control group's limit counts like the machine's own, for
its memory killer ends processes just the same. This file does not know who needs memory, nor what for.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vda.files import storage_errors

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_VMSTAT = Path("/proc/vmstat")
MACHINE = "the machine"
# A large process takes seconds to go after it was killed, and is seen to be gone only then.
_LATELY_SECONDS = 10.0


@dataclass(frozen=True)
class HostMemory:
    """Bytes of the tightest bound: the machine, or the control group at ``bound``.

    ``used_fraction`` is of whatever bound is used most, which need not be the one with the fewest bytes left.
    """

    total_bytes: int
    available_bytes: int
    used_fraction: float
    bound: str = MACHINE


def host_memory(
    cgroup_root: Path = _CGROUP_ROOT, membership: Path = _MEMBERSHIP, machine: HostMemory | None = None
) -> HostMemory:
    """Read MemAvailable and the limits of this process' control groups, versions 1 and 2, at every level."""
    machine = machine or _machine_memory()
    bounds = [machine, *_group_memory(cgroup_root, membership, machine.total_bytes)]
    tightest = min(bounds, key=lambda bound: bound.available_bytes)
    used = max(bound.used_fraction for bound in bounds)
    return HostMemory(tightest.total_bytes, tightest.available_bytes, used, tightest.bound)


def memory_kills(
    cgroup_root: Path = _CGROUP_ROOT, membership: Path = _MEMBERSHIP, vmstat: Path = _VMSTAT
) -> dict[str, int]:
    """How many processes the kernel's memory killer ended so far: in each control group of ours, and in all.

    A group of version 2 counts those of the groups below it too; the last is ``MACHINE``. What an old kernel does
    not count is not there.
    """
    kills = {
        str(group): count
        for group in _groups(cgroup_root, membership)
        if (count := _counted(group, "memory.events", "memory.oom_control")) is not None
    }
    machine = _counted(vmstat.parent, vmstat.name)
    return kills if machine is None else {**kills, MACHINE: machine}


@dataclass
class MemoryKiller:
    """Tells whether the kernel's memory killer was at work lately; ``read`` gives its counters."""

    read: Callable[[], dict[str, int]] = memory_kills
    _seen: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def struck(self, now: float) -> bool:
        """Look; say whether any counter has risen in the last seconds before ``now``."""
        self._seen = [(time, kills) for time, kills in self._seen if now - time <= _LATELY_SECONDS]
        self._seen.append((now, self.read()))
        before, after = self._seen[0][1], self._seen[-1][1]
        return any(count > before.get(where, count) for where, count in after.items())


def _counted(folder: Path, *names: str) -> int | None:
    """The ``oom_kill`` of the first of a folder's files that counts it."""
    for name in names:
        for line in _text(folder / name).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.isdecimal():
                return int(value)
    return None


def disk_free_bytes(folder: Path) -> int:
    """Bytes an ordinary user may still write where ``folder`` is or will be. Quotas are not seen."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    with storage_errors(existing):
        return shutil.disk_usage(existing).free


def _machine_memory() -> HostMemory:
    memory = psutil.virtual_memory()
    return HostMemory(memory.total, memory.available, 1 - memory.available / memory.total)


def _group_memory(root: Path, membership: Path, machine_bytes: int) -> Iterator[HostMemory]:
    for group in _groups(root, membership):
        # Above memory.high the kernel does not kill, but slows a process down to a crawl: a limit as well.
        limit = _least(group, "memory.max", "memory.high", "memory.limit_in_bytes")
        used = _least(group, "memory.current", "memory.usage_in_bytes")
        # Version 1 says "no limit" with a number near 2**63.
        if limit is None or used is None or not 0 < limit < machine_bytes:
            continue
        # Cache of files counts as used, but is given back before anything is killed.
        available = min(max(limit - used + _cache(group), 0), limit)
        yield HostMemory(limit, available, 1 - available / limit, str(group))


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process' memory groups and of all groups above them; limits hold at every level.

    In a container the path is often the host's and not there; the walk up ends at the container's own root.
    """
    lines = membership.read_text().splitlines() if membership.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        group = top / path.lstrip("/")
        for level in (group, *group.parents):
            if level.is_relative_to(top):
                yield level


def _cache(group: Path) -> int:
    lines = _text(group / "memory.stat").splitlines()
    values = {name: int(value) for name, _, value in (line.partition(" ") for line in lines)}
    return values.get("total_inactive_file", values.get("inactive_file", 0))


def _least(group: Path, *names: str) -> int | None:
    """The smallest number in a group's files; None where they are absent or say "max"."""
    texts = (_text(group / name) for name in names)
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
