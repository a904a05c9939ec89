"""Locks of open files, which the kernel releases with their process, whatever ends it.

They are seen on this machine alone: some network file systems keep them to one machine, some take none, some give
each to everybody. This file does not know what is locked.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vda.errors import StorageError
from vda.files import make_folder, storage_error, storage_errors, temporary_beside

# struct flock of 64-bit Linux: type and whence, start and length, process and padding.
_LOCK_FORMAT = "hhqqi4x"
# Removed between opening and locking: that comes once by chance, and hardly twice.
_LOCK_TRIES = 20
# What file systems say that take no locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_ELSEWHERE = (
    "Put the work on another file system, or compute the scene with 'vda task', which needs no locks there."
)


@contextmanager
def exclusive_lock(path: Path, *, wait: bool = False, optional: bool = False) -> Iterator[bool]:
    """Try to take the lock file ``path``; yield whether it was had. The kernel releases it with the process.

    ``wait``: until it is free. ``optional``: it is everybody's on a file system that takes no locks, which else is
    a ``StorageError``.

    An open-file-description lock: unlike ``flock`` it can be looked at without being taken for a moment, and
    unlike plain record locks it is not lost when another part of the process closes the same file. Who has it may
    remove its file: whoever had opened that file and waited takes a new one, for nobody else would see the old.
    """
    for _ in range(_LOCK_TRIES):
        with storage_errors(path):
            make_folder(path.parent)
            handle = path.open("a+")
        with handle:
            had = _locked(handle, path, wait, optional)
            if not had or _is_at(handle, path):
                yield had
                return
    raise StorageError(f"{path} is removed each time that it is locked.", "Find what removes it, and end that.")


def _locked(handle: IO[str], path: Path, wait: bool, optional: bool) -> bool:
    try:
        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        fcntl.fcntl(handle, command, _lock_record(fcntl.F_WRLCK))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise storage_error(path, error) from error
        if not optional:
            raise _no_locks(path) from error
    return True


def _is_at(handle: IO[str], path: Path) -> bool:
    """Whether the file that is open has the name ``path``, still."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


def keeps_locks(folder: Path) -> bool:
    """Whether a lock in ``folder`` is seen to be held by others on this machine; some file systems take none."""
    probe = temporary_beside(folder / "lock")
    try:
        with exclusive_lock(probe, optional=True) as ours:
            return ours and lock_is_held(probe)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def require_kept(path: Path) -> None:
    """Raise ``StorageError`` where the lock ``path``, which this process has, is not seen to be held by others."""
    if not lock_is_held(path):
        raise StorageError(f"{path} is locked and is not seen to be: its file system keeps no locks.", _ELSEWHERE)


def _no_locks(path: Path) -> StorageError:
    return StorageError(f"{path} could not be locked: its file system takes no locks.", _ELSEWHERE)


@contextmanager
def folder_lock(folder: Path, *, shared: bool = False) -> Iterator[bool]:
    """Try to take ``folder`` itself, without a file for it; yield False where another has it.

    Several may have it ``shared``, and then nobody has it alone. A folder that is not there is nobody's, and so is
    one on a file system that locks no folders.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # whoever uses it says what is wrong with it
        yield True
        return
    try:
        yield _is_ours(handle, shared)
    finally:
        os.close(handle)


def _is_ours(handle: int, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True


def lock_is_held(path: Path) -> bool:
    """Whether some process holds the lock file ``path`` now."""
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return False
    with handle:
        # Asking for a shared lock: a read-only file is enough, and only an exclusive holder is in the way.
        try:
            answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _lock_record(fcntl.F_RDLCK))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            # Where nobody can hold one, nobody does.
            return False
    return struct.unpack(_LOCK_FORMAT, answer)[0] != fcntl.F_UNLCK


def _lock_record(kind: int) -> bytes:
    """A length of 0 is all of the file."""
    return struct.pack(_LOCK_FORMAT, kind, os.SEEK_SET, 0, 0, 0)
