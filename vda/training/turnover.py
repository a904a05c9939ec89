"""Clips come and go: rendered beside the training, removed for newer ones, so that worlds do not repeat.

In: a folder and the clips it shall hold, in their order. Renderers write them; a training claims those that are
there and makes room for others. Any number of trainings may share a folder: while two do, nothing is removed. This
file does not know what clips are for.
"""

import fcntl
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from vda.training.cache import HELD_OUT_SEED, Clip, listed, render

# So often is a clip listed, at the least, before it is one of the oldest.
_LISTINGS_STAYED = 10


class Claim:
    """A training's claim on the clips of ``folder``: as long as it lives, no other training removes any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        weakref.finalize(self, os.close, self._handle)
        self._share()

    def clips(self, keep: int = 0) -> list[Clip]:
        """The finished clips by seed, without the held-out; beyond ``keep``, those rendered first are removed.

        ``keep`` 0 keeps all, and so does another training's claim. What is returned stays until the next call.
        """
        if keep and self._alone():
            for clip in _by_age(self.folder)[:-keep]:
                (self.folder / clip.name).unlink()
        # Before the folder is listed: taking the lock for oneself alone let go of the shared one for a moment.
        self._share()
        return _trained_on(self.folder)

    def _alone(self) -> bool:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return not isinstance(error, BlockingIOError)
        return True

    def _share(self) -> None:
        with suppress(OSError):  # a file system that locks no folders
            fcntl.flock(self._handle, fcntl.LOCK_SH)


def still_to_come(folder: Path, clips: list[Clip], keep: int) -> list[Clip]:
    """Those of ``clips`` that are to be rendered: with ``keep``, none from before the first that is there.

    They were there once, and have made room.
    """
    there = {clip.seed for clip in listed(folder)} & {clip.seed for clip in clips}
    first = min(there) if keep and there else 0
    return [clip for clip in clips if clip.seed >= first and clip.seed not in there]


def start_renderers(folder: Path, clips: list[Clip], workers: int, keep: int = 0) -> list[BaseProcess]:
    """Render ``clips`` in ``workers`` background processes, in order, as gently as the system allows.

    With ``keep`` they wait while the folder holds a tenth more than that.
    """
    context = get_context("spawn")
    processes: list[BaseProcess] = []
    for worker in range(workers):
        share = clips[worker::workers]
        processes.append(context.Process(target=_in_background, args=(folder, share, keep), daemon=True))
        processes[-1].start()
    return processes


def render_all(folder: Path, clips: list[Clip], keep: int, wait: Callable[[], None]) -> None:
    """Render ``clips`` in order, and ``wait`` before each as long as there is no room for it."""
    for clip in clips:
        while keep and len(_trained_on(folder)) >= most(keep):
            wait()
        render(folder, clip)


def most(keep: int) -> int:
    """How many clips there may be between two listings, after each of which there are ``keep``."""
    return keep + max(keep // _LISTINGS_STAYED, 1)


def _in_background(folder: Path, clips: list[Clip], keep: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(19)
    torch.set_num_threads(1)
    render_all(folder, clips, keep, lambda: time.sleep(2.0))


def _end_with_parent() -> None:
    """End as soon as the training does: one that is killed ends nobody, and two would render side by side."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _trained_on(folder: Path) -> list[Clip]:
    return [clip for clip in listed(folder) if clip.seed < HELD_OUT_SEED]


def _by_age(folder: Path) -> list[Clip]:
    """Seeds do not tell: a later run may have begun with lower ones."""
    return sorted(_trained_on(folder), key=lambda clip: ((folder / clip.name).stat().st_mtime_ns, clip.seed))
