"""Every error a user can cause or meet.

    VdaError                what went wrong, and what to do: exit code 1
    ├── UsageError          options that contradict each other or make no sense: exit code 2
    ├── InputError          a file handed in that cannot be used: exit code 2
    │   ├── VideoError      ... as a video
    │   └── WeightsError    ... as a checkpoint
    ├── SceneError          a scene that does not fit what was asked of it: exit code 2
    ├── DeviceError         a device that is absent, too small or not to be trusted
    ├── StorageError        a disk that is full or cannot be written
    │   ├── NoRoomError         ... full: it passes as soon as somebody makes room
    │   ├── FileSizeError       ... that takes no file so large: it does not pass by waiting
    │   └── DamagedWindowError  a raw window that is not what was written; carries its path
    └── WorkError           work that failed or is incomplete; carries the log's path and last lines

Foreign exceptions are translated where they enter (PyAV in ``video``, JSON in ``files``, ...). This file knows
no other module.
"""

import re
from pathlib import Path

# Half of a pair of surrogates, which JSON can hold and no encoding can write; others stand for bytes (PEP 383).
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class VdaError(Exception):
    """One sentence saying what is wrong (``problem``) and one saying what to do (``remedy``)."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = (
            _HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", text) for text in (problem, remedy)
        )
        super().__init__(f"{self.problem} {self.remedy}")


class UsageError(VdaError):
    exit_code = 2


class InputError(VdaError):
    exit_code = 2


class VideoError(InputError):
    pass


class WeightsError(InputError):
    pass


class SceneError(VdaError):
    exit_code = 2


class DeviceError(VdaError):
    pass


class StorageError(VdaError):
    pass


class NoRoomError(StorageError):
    pass


class FileSizeError(StorageError):
    pass


class DamagedWindowError(StorageError):
    """``path`` is the file, which another run of the same command computes again."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(problem, "Run 'vda run' with the scene: what is damaged is computed again, and no more.")
        self.path = path


class WorkError(VdaError):
    """``log`` is the worker's log file (None where there is none), ``tail`` its last lines.

    ``parts`` are what failed, a sentence or two each, where several things were asked for at once.
    """

    def __init__(
        self, problem: str, remedy: str, log: Path | None = None, tail: str = "", parts: tuple[str, ...] = ()
    ) -> None:
        super().__init__(problem, remedy)
        self.parts = parts
        self.log = log
        self.tail = tail
