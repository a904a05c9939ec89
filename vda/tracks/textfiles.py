"""Text files of records, line by line, in and out; what the lines mean is not known here."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vda.errors import InputError
from vda.files import atomic_writer


def read_lines(path: Path) -> Iterator[str]:
    """The lines of ``path`` without their ends. Raises ``InputError`` where it cannot be read as text."""
    try:
        with path.open(encoding="utf-8-sig") as handle:
            for line in handle:
                yield line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} could not be read: {error}.", "Check the path and the file.") from error


def rewrite_lines(path: Path, output: Path, change: Callable[[str], str]) -> None:
    """Write ``path`` again as ``output``, every line replaced by what ``change`` makes of it."""
    with atomic_writer(output) as handle:
        for line in read_lines(path):
            handle.write((change(line) + "\n").encode())
