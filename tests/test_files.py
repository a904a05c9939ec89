"""Whole or absent, locked or free."""

import errno
import fcntl
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vda.errors import InputError, StorageError
from vda.files import (
    TEMPORARY_PREFIX,
    array_in,
    atomic_writer,
    head_tail_sha256,
    read_json,
    write_json,
)
from vda.machine.locks import exclusive_lock, lock_is_held


def test_interrupted_write_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_json(target, {"a": 1})
    with pytest.raises(KeyboardInterrupt), atomic_writer(target) as handle:
        handle.write(b"half")
        raise KeyboardInterrupt
    assert read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_full_disk_is_a_storage_error_that_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_json(target, [1])
    with pytest.raises(StorageError, match="disk is full") as caught, atomic_writer(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == 1
    assert json.loads(target.read_text()) == [1]


def test_nan_never_reaches_a_json_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_half_a_json_names_the_file(tmp_path: Path) -> None:
    broken = tmp_path / "plan.json"
    broken.write_text('{"a": [1, 2')
    with pytest.raises(InputError, match=r"plan\.json"):
        read_json(broken)


def test_head_tail_hash_sees_both_ends_and_the_size(tmp_path: Path) -> None:
    path = tmp_path / "video"
    content = bytearray(3 << 20)
    hashes = set()
    for place in (None, 0, -1):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        path.write_bytes(changed)
        hashes.add(head_tail_sha256(path))
    path.write_bytes(content + b"\0")
    hashes.add(head_tail_sha256(path))
    assert len(hashes) == 4


def test_lock_is_seen_by_others_and_released_by_death(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from vda.machine.locks import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1])) as had: print(had, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin and holder.stdout
    with holder:
        assert holder.stdout.readline() == "True\n"
        assert lock_is_held(path)
        with exclusive_lock(path) as had:
            assert not had
        holder.kill()
    assert not lock_is_held(path)
    with exclusive_lock(path) as had:
        assert had
        # Looking, from the same process too, must not take the lock away.
        assert lock_is_held(path)
        assert lock_is_held(path)


@pytest.mark.parametrize("times", [1, 1000])
def test_a_lock_whose_file_is_removed_before_it_is_taken_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Whoever has the lock may remove the file, and others have opened it by then: a lock that nobody sees."""
    path, real = tmp_path / "home" / "lock", fcntl.fcntl
    removed: list[Path] = []

    def removing(handle: Any, command: int, argument: bytes = b"") -> Any:
        if command == fcntl.F_OFD_SETLK and len(removed) < times:
            removed.append(path)
            shutil.rmtree(path.parent)
        return real(handle, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", removing)
    with ExitStack() as ends:
        if times > 1:
            with pytest.raises(StorageError, match="removed each time"):
                ends.enter_context(exclusive_lock(path))
        else:
            assert ends.enter_context(exclusive_lock(path))
            assert lock_is_held(path)
    assert removed


def test_leftovers_are_recognisable(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_writer(tmp_path / "a.npz"):
        assert [p.name.startswith(TEMPORARY_PREFIX) for p in tmp_path.iterdir()] == [True]
        raise RuntimeError


class Colliding(dict[str, Any]):
    """An archive that cannot be read at first: what Python 3.11.7 raises where threads parse at once."""

    collisions = 3

    def __getitem__(self, name: str) -> Any:
        self.collisions -= 1
        if self.collisions >= 0:
            raise SystemError("AST constructor recursion depth mismatch (before=57, after=51)")
        return super().__getitem__(name)


def test_an_array_is_read_again_where_threads_were_in_each_others_way() -> None:
    archive = Colliding(depth=np.arange(3))
    assert array_in(archive, "depth").tolist() == [0, 1, 2]
    endless = Colliding(depth=np.arange(3))
    endless.collisions = 10**6
    with pytest.raises(SystemError):
        array_in(endless, "depth")
