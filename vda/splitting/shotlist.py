"""A list of shots in a file: written to be read and changed, and read back as it is or as PySceneDetect writes it.

In: the first frames of shots, or a file. Out: a file, or the first frames of shots. A row is a shot, and a shot
ends where the next one begins; only the column ``start_frame`` (or ``Start Frame``, which counts from 1) is read.
This file does not know pictures or plans.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vda.errors import InputError
from vda.files import write_bytes
from vda.video import FrameIndex

DETECTOR = "PySceneDetect"
_OURS = "start_frame"
# PySceneDetect's, whose frames count from 1.
_THEIRS = "start frame"
_REMEDY = (
    "Give a CSV with a column start_frame, as the scene's shots.csv has it, or PySceneDetect's list of scenes."
)


def write_shot_list(path: Path, starts: Sequence[int], stop: int, index: FrameIndex, found_by: str) -> None:
    """Write a row for each shot that begins at one of ``starts``, rising; the last one ends at ``stop``."""
    times = index.times_of(np.asarray(starts)) - index.times_s[0]
    lines = ["shot,start_frame,end_frame,start_seconds,found_by"]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], stop], strict=True)):
        lines.append(f"{number},{start},{end},{times[number]:.3f},{found_by if number else 'first frame'}")
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def is_found(path: Path) -> bool:
    """Whether the list ``path`` has cuts that were looked for, and not a list that was given."""
    return path.is_file() and f",{DETECTOR}" in path.read_text(encoding="utf-8-sig", errors="replace")


def read_shot_list(path: Path, frames: Sequence[int]) -> list[int]:
    """The first frames of the shots that ``path`` lists, rising; ``frames`` are the video's.

    Raises ``InputError``, with the line, for what is no such list, and for frames that the video does not have.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list of shots: {error}.", _REMEDY) from error
    starts: list[int] = []
    for line, frame in _frames(path, text):
        if not frames[0] <= frame <= frames[-1]:
            raise InputError(
                f"Line {line} of {path} begins a shot at frame {frame}, which the video does not have.",
                f"Give frames from {frames[0]} to {frames[-1]}.",
            )
        if starts and frame <= starts[-1]:
            raise InputError(
                f"Line {line} of {path} begins a shot at frame {frame}, which is not behind frame {starts[-1]}.",
                "List the shots in order, each once.",
            )
        starts.append(frame)
    if not starts:
        raise InputError(f"{path} lists no shots.", _REMEDY)
    return starts


def _frames(path: Path, text: str) -> Iterator[tuple[int, int]]:
    """The number of each row's line and the shot's first frame."""
    rows = csv.reader(text.splitlines(), delimiter=";" if text.count(";") > text.count(",") else ",")
    column, first = None, 0
    for row in rows:
        names = [cell.strip().lower() for cell in row]
        if column is None:
            # A line of time codes may stand above PySceneDetect's heads.
            name = next((name for name in (_OURS, _THEIRS) if name in names), None)
            if name is not None:
                column, first = names.index(name), int(name == _THEIRS)
        elif any(names):
            yield rows.line_num, _whole_number(path, rows.line_num, names[column : column + 1]) - first
    if column is None:
        raise InputError(f"{path} has no column {_OURS}.", _REMEDY)


def _whole_number(path: Path, line: int, cells: list[str]) -> int:
    try:
        return int(cells[0])
    except (IndexError, ValueError) as error:
        raise InputError(f"Line {line} of {path} says no frame that a shot begins at.", _REMEDY) from error
