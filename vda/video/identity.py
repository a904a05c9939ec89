"""Whether a file is still the video that was probed: a ``VideoInfo`` in, an error that says how it is not out.

The size and a hash of both ends are compared (``files.head_tail_sha256``). Every reading of frames asks; a file is
hashed again only where the system says that it was touched. Images are known by all their names, sizes and ends.
This file does not know who reads.
"""

from functools import lru_cache
from pathlib import Path

from vda.errors import VideoError
from vda.files import head_tail_sha256
from vda.stills.naming import base_of
from vda.video.info import VideoInfo
from vda.video.sequence import look_at

_REMEDY = "Put that video back, or begin anew with this one: --restart."


def is_same(info: VideoInfo, path: Path) -> bool:
    """Whether ``path`` is the video that ``info`` was made of, wherever it lies now."""
    try:
        return _identity(info, path) == (info.size_bytes, info.sha256_head_tail)
    except (OSError, VideoError):
        return False


def require_same(info: VideoInfo) -> None:
    """Raise ``VideoError`` unless what is at ``info.path`` is the video that ``info`` was made of."""
    try:
        size, found = _identity(info, info.path)
    except FileNotFoundError as error:
        raise VideoError(f"There is no file {info.path} any more.", "Put the video back where it was.") from error
    except OSError as error:
        raise VideoError(f"{info.path} could not be read: {error.strerror}.", "Check its permissions.") from error
    if size != info.size_bytes:
        change = "grown" if size > info.size_bytes else "shrunk"
        raise VideoError(
            f"{info.path} has {change} since its frames were counted: from {info.size_bytes} bytes to {size}.",
            _REMEDY,
        )
    if found != info.sha256_head_tail:
        raise VideoError(
            f"{info.path} is another video than the one whose frames were counted, though of the same size.",
            _REMEDY,
        )


def _identity(info: VideoInfo, path: Path) -> tuple[int, str]:
    """Bytes and hash. All that the system tells of changes counts: setting a copy's time back moves it as well."""
    status = (base_of(path) if info.is_sequence else path).stat()
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _of_images(path, state) if info.is_sequence else (status.st_size, _of_file(path, state))


@lru_cache(maxsize=64)
def _of_file(path: Path, state: tuple[int, ...]) -> str:
    return head_tail_sha256(path)


@lru_cache(maxsize=64)
def _of_images(path: Path, state: tuple[int, ...]) -> tuple[int, str]:
    # The folder tells of files that come and go; each file's contents are held against a checksum when it is read.
    facts = look_at(path)
    return facts.size_bytes, facts.sha256
