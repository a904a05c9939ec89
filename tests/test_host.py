"""Memory and disk as this process may use them, from trees of files as the kernel lays them out."""

import os
from pathlib import Path

import pytest

from vda.errors import StorageError
from vda.machine.host import HostMemory, MemoryKiller, disk_free_bytes, host_memory, memory_kills

GIB = 1 << 30
MACHINE = HostMemory(16 * GIB, 12 * GIB, 0.25)
NO_LIMIT_V1 = 9223372036854771712


def write_group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def read(root: Path, membership: str) -> HostMemory:
    path = root / "membership"
    path.write_text(membership)
    return host_memory(root, path, MACHINE)


def test_without_groups_it_is_the_machine(tmp_path: Path) -> None:
    assert read(tmp_path, "0::/user.slice\n") == MACHINE
    assert host_memory(tmp_path, tmp_path / "absent", MACHINE) == MACHINE


def test_version_2_limit(tmp_path: Path) -> None:
    write_group(tmp_path / "job", memory__max=4 * GIB, memory__current=3 * GIB, memory__stat="inactive_file 0")
    memory = read(tmp_path, "0::/job\n")
    assert (memory.total_bytes, memory.available_bytes) == (4 * GIB, 1 * GIB)
    assert memory.used_fraction == 0.75
    assert memory.bound.endswith("/job")


def test_cache_is_not_used_memory(tmp_path: Path) -> None:
    stat = f"anon 5\ninactive_file {2 * GIB}\nactive_file 7"
    write_group(tmp_path / "job", memory__max=4 * GIB, memory__current=3 * GIB, memory__stat=stat)
    assert read(tmp_path, "0::/job\n").available_bytes == 3 * GIB


def test_the_limit_of_a_group_above_holds(tmp_path: Path) -> None:
    write_group(tmp_path / "user" / "job", memory__max="max", memory__current=1 * GIB)
    write_group(tmp_path / "user", memory__max=8 * GIB, memory__current=7 * GIB)
    assert read(tmp_path, "0::/user/job\n").available_bytes == 1 * GIB


def test_a_soft_limit_counts(tmp_path: Path) -> None:
    write_group(tmp_path / "job", memory__max="max", memory__high=2 * GIB, memory__current=1 * GIB)
    assert read(tmp_path, "0::/job\n").total_bytes == 2 * GIB


def test_version_1_limit(tmp_path: Path) -> None:
    stat = f"inactive_file 1\ntotal_inactive_file {GIB}"
    write_group(
        tmp_path / "memory" / "job",
        memory__limit_in_bytes=4 * GIB,
        memory__usage_in_bytes=2 * GIB,
        memory__stat=stat,
    )
    assert read(tmp_path, "9:cpu:/\n4:memory:/job\n0::/\n").available_bytes == 3 * GIB


def test_version_1_without_limit(tmp_path: Path) -> None:
    write_group(tmp_path / "memory", memory__limit_in_bytes=NO_LIMIT_V1, memory__usage_in_bytes=GIB)
    assert read(tmp_path, "4:memory:/\n") == MACHINE


def test_a_container_that_sees_its_hosts_path(tmp_path: Path) -> None:
    write_group(tmp_path / "memory", memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB)
    assert read(tmp_path, "4:memory:/docker/0123abc\n").available_bytes == GIB


def test_fewest_bytes_and_most_used_may_be_two_bounds(tmp_path: Path) -> None:
    write_group(tmp_path / "job", memory__max=4 * GIB, memory__current=0)
    full = HostMemory(1000 * GIB, 50 * GIB, 0.95)
    (tmp_path / "membership").write_text("0::/job\n")
    memory = host_memory(tmp_path, tmp_path / "membership", full)
    assert memory.available_bytes == 4 * GIB
    assert memory.used_fraction == 0.95


def test_this_machine() -> None:
    memory = host_memory()
    assert 0 < memory.available_bytes <= memory.total_bytes
    assert 0 <= memory.used_fraction < 1


def test_the_memory_killers_counters_are_those_of_every_level(tmp_path: Path) -> None:
    """As the kernel documents them: cgroup-v2.rst, memory.events; cgroup-v1/memory.rst, memory.oom_control."""
    write_group(tmp_path / "v2" / "a", memory__events="low 0\nhigh 3\nmax 9\noom 2\noom_kill 2\noom_group_kill 0")
    write_group(tmp_path / "v2" / "a" / "b", memory__events="oom 1\noom_kill 1")
    write_group(tmp_path / "v1" / "memory" / "job", memory__oom_control="under_oom 0\noom_kill 5")
    (tmp_path / "vmstat").write_text("nr_free_pages 7\noom_kill 11\n")
    for member, expected in (("0::/a/b", [1, 2]), ("4:memory:/job", [5])):
        (tmp_path / "membership").write_text(f"{member}\n")
        root = tmp_path / ("v2" if member[0] == "0" else "v1")
        kills = memory_kills(root, tmp_path / "membership", tmp_path / "vmstat")
        assert list(kills.values()) == [*expected, 11]
    assert memory_kills(tmp_path / "none", tmp_path / "none", tmp_path / "none") == {}


def test_the_memory_killer_struck_where_a_counter_rose_lately() -> None:
    answers = iter([{"a": 3}, {"a": 3}, {"a": 3, "b": 1}, {"a": 4}, {"a": 4}, {"a": 4}])
    killer = MemoryKiller(lambda: next(answers))
    # A group that was not there before may have struck long ago.
    assert [killer.struck(now) for now in (0.0, 1.0, 2.0, 3.0, 8.0, 30.0)] == [
        False,
        False,
        False,
        True,
        True,
        False,
    ]


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    filesystem = os.statvfs(tmp_path)
    free = disk_free_bytes(tmp_path / "scene" / "vda_windows")
    assert 0 < free <= filesystem.f_frsize * filesystem.f_blocks


def test_a_disk_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("vda.machine.host.shutil.disk_usage", refuse)
    with pytest.raises(StorageError, match="Stale file handle"):
        disk_free_bytes(tmp_path)
