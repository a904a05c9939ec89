"""Writing files that are whole or absent, reading JSON, and hashing.

Finished means renamed: a unique temporary name in the same folder, flush, fsync, rename. Leftovers of a killed
writer begin with ``.tmp-`` and are ignored by every reader. This file does not know what is in the files.
"""

import errno
import hashlib
import json
import lzma
import math
import os
import resource
import struct
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vda.errors import FileSizeError, InputError, NoRoomError, StorageError, UsageError

TEMPORARY_PREFIX = ".tmp-"
DEPTH_RECORD_NAME = "depth.json"
"""What a folder of depth says of itself; merges and the data-set stage write it."""
# Containers keep at their ends what tells films apart: headers and the table of frames. All of a film would take
# minutes to read.
_HEAD_TAIL_BYTES = 1 << 20
# Far longer than any line that is written here; damage without an end of line must not fill the memory.
_LONGEST_LINE = 1 << 20
# What NumPy, zipfile and the decompressors behind it raise over damage: an unknown method is a RuntimeError,
# a header that is no longer Python a SyntaxError or a TokenError, a shape beyond all bounds one of the last.
DAMAGED_ARRAYS = (
    OSError, ValueError, KeyError, TypeError, IndexError, EOFError, RuntimeError, SyntaxError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OverflowError, MemoryError,
)  # fmt: skip
# What has to be where it is (``never_made_anew``).
_IN_PLACE: list[Path] = []
# What file systems say that give a file no second name.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# A full disk, a full quota, a limit of files' sizes.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# NumPy's ``tofile`` says how much it wrote, and not why no more.
_CUT_SHORT = "requested and"
# Of threads that parse at the same moment; each is as likely as not to be the last.
_MOST_COLLISIONS = 50


def array_in(archive: Mapping[str, Any], name: str) -> Any:
    """The array ``name`` in NumPy's open archive; ``ValueError`` for a member that is none, and comes as bytes."""
    if isinstance(found := _read_again(archive, name), bytes):
        raise ValueError(f"{name} is no array")
    return found


def _read_again(archive: Mapping[str, Any], name: str) -> Any:
    """The member ``name``, which Python may fail to read though nothing is wrong with it.

    Python 3.11 before 3.11.8 raises ``SystemError`` where two threads parse at once (python/cpython#106905), and
    NumPy parses the head of an array.
    """
    for _ in range(_MOST_COLLISIONS):
        with suppress(SystemError):
            return archive[name]
    return archive[name]


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate an ``OSError`` met while writing ``path`` to a ``StorageError``.

    A full disk or quota is a ``NoRoomError``, a limit of files' sizes a ``FileSizeError``.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return what an ``OSError`` met while writing ``path`` means, and what to do."""
    number = error.errno
    if number is None and _CUT_SHORT in str(error):
        number = errno.EFBIG if _size_limit() is not None else errno.ENOSPC
    if number == errno.EFBIG:
        return _file_size_error(path)
    if number in (errno.ENOSPC, errno.EDQUOT):
        full = "The disk is full" if number == errno.ENOSPC else "The disk quota is used up"
        return NoRoomError(
            f"{full}: {path} could not be written.",
            "Free some space and run the same command again; what was finished is kept.",
        )
    return StorageError(
        f"{path} could not be written: {error.strerror or error}.",
        "Check the folder's permissions and run the same command again.",
    )


def require_writable(folder: Path) -> None:
    """Raise ``StorageError`` where nothing can be written into ``folder``, which need not be there yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    number = None
    if not there.is_dir():
        number = errno.ENOTDIR
    elif os.statvfs(there).f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not os.access(there, os.W_OK | os.X_OK):
        number = errno.EACCES
    if number is not None:
        raise storage_error(folder, OSError(number, os.strerror(number)))


def _size_limit() -> int | None:
    """The largest file in bytes that this process may write; None where nothing limits it."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def _file_size_error(path: Path) -> FileSizeError:
    limit = _size_limit()
    if limit is None:
        return FileSizeError(
            f"{path} could not be written: the file system takes no file so large.",
            "Choose a folder on another file system and run the command again.",
        )
    return FileSizeError(
        f"{path} could not be written: this process may write files of {limit:,} bytes at most (ulimit -f).",
        "Raise the limit with 'ulimit -f unlimited' and run the same command again; what was finished is kept.",
    )


def temporary_beside(path: Path) -> Path:
    """Return a unique name in ``path``'s folder, with its suffix, that readers ignore."""
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name}")


def publish(temporary: Path, path: Path, *, durable: bool = True) -> None:
    """Give ``temporary`` its final name, replacing what was there; ``durable``: only once the disk has it."""
    with storage_errors(path):
        if durable:
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        temporary.replace(path)


@contextmanager
def never_made_anew(root: Path) -> Iterator[None]:
    """As long as this lasts, writing below ``root`` in this process fails once ``root`` is gone, or has moved."""
    root = root.absolute()
    _IN_PLACE.append(root)
    try:
        yield
    finally:
        _IN_PLACE.remove(root)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those around it, but for what has to be in its place (``never_made_anew``)."""
    folder = folder.absolute()
    root = next((root for root in _IN_PLACE if folder.is_relative_to(root)), None)
    if root is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    # Step by step from the root, which is not made: between asking for it and making a path it might move.
    for step in (*reversed(folder.parents), folder):
        if step != root and step.is_relative_to(root):
            step.mkdir(exist_ok=True)


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes ``path``, on any error it is removed."""
    temporary = temporary_beside(path)
    try:
        with storage_errors(path):
            make_folder(path.parent)
        yield temporary
        publish(temporary, path, durable=durable)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_writer(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes ``path`` whole, or not at all."""
    with atomic_path(path, durable=durable) as temporary, storage_errors(path), temporary.open("wb") as handle:
        yield handle


def refuse_to_overwrite(path: Path | None, *, overwrite: bool, is_file: bool = True) -> None:
    """Raise ``UsageError`` where ``path`` (None: nothing is written) is there and ``overwrite`` is not given.

    A folder is replaced by no file (``is_file``), whatever is given.
    """
    if path is None or not path.exists():
        return
    if is_file and path.is_dir():
        raise UsageError(f"{path} is a folder, and a file is written.", "Give the file's name with it.")
    if not overwrite:
        raise UsageError(f"{path} is there already.", "Give --overwrite to replace it.")


def write_bytes(path: Path, data: bytes | memoryview, *, durable: bool = True) -> None:
    with atomic_writer(path, durable=durable) as handle:
        handle.write(data)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write ``value`` as indented JSON; NaN and infinity are refused, for other readers choke on them.

    ``durable=False`` is for what may be lost with the power, like a heartbeat.
    """
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode(), durable=durable)


def write_first(path: Path, value: Any, *, durable: bool = True) -> bool:
    """Write ``value`` as JSON, whole, unless ``path`` is there; return whether it now holds what was given.

    No lock is needed, which some shared file systems keep to one machine: of many writers, wherever they are, the
    first one's file stays.
    """
    data = (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
    temporary = temporary_beside(path)
    try:
        write_bytes(temporary, data, durable=durable)
        with storage_errors(path):
            _link_first(temporary, path, data)
            # An answer that was lost on the way is asked for again, and the second says that the file is there.
            return path.read_bytes() == data
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _link_first(temporary: Path, path: Path, data: bytes) -> None:
    with suppress(FileExistsError):
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # For a moment it is there and empty, as a damaged one is.
            with path.open("xb") as handle:
                handle.write(data)


def server_time(folder: Path) -> float:
    """What the file server's own clock says, in seconds: machines' clocks differ, and all files have its time."""
    probe = folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    with storage_errors(probe):
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    return now


def modified(path: Path) -> float:
    """When ``path`` was last written by the file server's clock; opened, for a client may know an older answer."""
    with path.open("rb") as handle:
        return os.fstat(handle.fileno()).st_mtime


def damage(error: BaseException) -> str:
    """What a library says of a damaged file, without NumPy's advice to run what may be in it."""
    return "it holds no plain arrays" if "allow_pickle" in str(error) else str(error)


def read_json(path: Path, *, strict: bool = False, remedy: str = "Check the path, or make the file again.") -> Any:
    """Read JSON, or raise ``InputError`` naming the file, what is wrong with it, and ``remedy``.

    ``strict``: as the format is defined, without NaN, infinity and numbers that only infinity could stand for.
    Files of other programs hold such in places that nobody reads.
    """
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if strict else {}
    try:
        return json.loads(path.read_text(encoding="utf-8"), **hooks)
    except RecursionError as error:
        raise InputError(f"{path} could not be read as JSON: it is nested too deeply.", remedy) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} could not be read as JSON: {error}.", remedy) from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def append_line(path: Path, line: str) -> None:
    """Add ``line`` to ``path`` in one write, so that the lines of several processes never mix.

    A line that a killed writer left torn is ended first, so that it costs no other.
    """
    with storage_errors(path):
        make_folder(path.parent)
        with path.open("ab+", buffering=0) as handle:
            data = (f"{line}\n" if _ends_whole(handle) else f"\n{line}\n").encode(errors="backslashreplace")
            if (written := handle.write(data)) < len(data):
                raise OSError(f"{len(data)} requested and {written} written")


def _ends_whole(handle: IO[bytes]) -> bool:
    if not handle.seek(0, os.SEEK_END):
        return True
    handle.seek(-1, os.SEEK_END)
    return handle.read(1) == b"\n"


def read_json_lines(path: Path) -> Iterator[Any]:
    """Yield the value of each line of ``path``, holding one at a time; nothing where there is no file.

    What is no whole line of JSON is passed over: a killed writer or a full disk left it.
    """
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path} could not be read: {error}.", "Check the path and its permissions.") from error
    with handle:
        while line := handle.readline(_LONGEST_LINE):
            try:
                value = json.loads(line if line.endswith(b"\n") else b"", parse_constant=_refuse_constant)
            except (ValueError, RecursionError):
                continue
            yield value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def sha256_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def head_tail_sha256(path: Path) -> str:
    """Hash of the size and the first and last MiB: identifies a large video without reading it whole."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as handle:
        digest.update(handle.read(_HEAD_TAIL_BYTES))
        handle.seek(max(size - _HEAD_TAIL_BYTES, 0))
        digest.update(handle.read(_HEAD_TAIL_BYTES))
    return digest.hexdigest()


def user_cache() -> Path:
    """The user's cache folder; where there is neither a variable nor a home, a place where nothing can be kept."""
    if root := os.environ.get("XDG_CACHE_HOME"):
        return Path(root)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(os.devnull) / "cache"


def depth_image_name(frame: int, suffix: str = "png") -> str:
    """The file of a frame's depth in any folder of depth."""
    return f"depth_{frame:06d}.{suffix}"
