"""Text files of records, line by line, in and out; what the lines mean is not known here.

Lines have no names for their columns. What enriching added to them is named in a file beside them, and is cut off
by it when they are read again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vda.errors import InputError
from vda.files import atomic_writer
from vda.records import read_record

# Far more columns than any table of tracks has.
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True)
class _Added:
    """What is looked up in the file beside the lines."""

    columns_added: list[str]


def read_lines(path: Path) -> Iterator[str]:
    """The lines of ``path`` without their ends. Raises ``InputError`` where it cannot be read as text."""
    try:
        with path.open(encoding="utf-8-sig") as handle:
            for line in handle:
                yield line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} could not be read: {error}.", "Check the path and the file.") from error


def first_line(path: Path) -> str:
    """The beginning of the first line that says something, or nothing. JSON may be one line of gigabytes."""
    try:
        with path.open(encoding="utf-8-sig") as handle:
            while line := handle.readline(_LONGEST_HEADER):
                if line.strip() and not line.startswith("#"):
                    return line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} could not be read: {error}.", "Check the path and the file.") from error
    return ""


def beside(path: Path) -> Path:
    """The file that says what was added to ``path``."""
    return path.with_name(f"{path.name}.vda.json")


def added_columns(path: Path) -> list[str]:
    """The names of the last columns of ``path``, which an earlier enrichment added."""
    if not beside(path).is_file():
        return []
    remedy = f"Enrich the original tracks again, or remove {beside(path).name} where {path.name} is an original."
    return read_record(beside(path), _Added, remedy).columns_added


def without_added(words: list[str], added: Sequence[str]) -> list[str]:
    return words[: len(words) - len(added)] if added and len(words) > len(added) else words


def added_to(words: list[str], added: Sequence[str]) -> dict[str, str]:
    """The values that an earlier enrichment added, by name."""
    return dict(zip(added, words[len(words) - len(added) :], strict=True)) if len(words) > len(added) else {}


def rewrite_lines(path: Path, output: Path, change: Callable[[str], str]) -> None:
    """Write ``path`` again as ``output``, every line replaced by what ``change`` makes of it."""
    with atomic_writer(output) as handle:
        for line in read_lines(path):
            handle.write((change(line) + "\n").encode())
