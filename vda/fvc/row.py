"""One row of the metadata, from its files to what came of it.

In: a row, what is known of it, and what is asked. Out: an ``Outcome``, whatever went wrong: a fault of one row is
one row's. Only a disk that takes nothing any more ends the work. This file does not know other rows, nor who keeps
records.
"""

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vda.errors import InputError, StorageError, VdaError
from vda.files import temporary_beside
from vda.fvc.checksums import content_checksum
from vda.fvc.clip import Scaling, Through
from vda.fvc.depthkind import facts_in
from vda.fvc.fallback import first_that_fits, rungs
from vda.fvc.freshness import broken_files, changed_sources, identities
from vda.fvc.paths import Places
from vda.fvc.record import Record, State
from vda.fvc.request import Item, ScaleSettings
from vda.fvc.source import Source, open_source, scene_of
from vda.reporter import Noted
from vda.scene.scene import Scene
from vda.video import NotAsListed

# What is wrong with one name; of any other error of the disk the next row would die as well.
_ONE_NAMES = {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL}


@dataclass(frozen=True)
class Outcome:
    """What came of a row; ``kept``: all is there as it was written, and nothing was done.

    ``said`` are notes that somebody who waits should read at once, ``depth`` is what that was made with
    (``depthkind``). The others are ``Record``'s.
    """

    kept: bool = False
    state: State = "done"
    sources: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    depth: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Workplace:
    """Where rows become files; ``threads`` are a decoder's (None: as many as FFmpeg thinks fit)."""

    folder: Path
    places: Places
    settings: ScaleSettings
    threads: int | None = None
    keep_count: bool = True
    """Whether frames that have to be counted are counted once for all: in the user's cache."""

    def needs_work(self, item: Item, record: Record | None) -> bool:
        """Whether anything of ``item`` is missing, damaged, or made of something else than is there now."""
        if record is None or record.state == "failed":
            return True
        now = identities(item, self.places, with_scene=self.settings.wants_depth)
        return bool(changed_sources(record, item, now) or broken_files(record, self.folder))

    def is_whole(self, item: Item, record: Record | None) -> bool:
        """Whether nothing of ``item`` needs work; what keeps this from being seen is met by whoever works."""
        try:
            return not self.needs_work(item, record)
        except Exception:
            return False

    def work(self, item: Item, record: Record | None, scene: Path | None, through: Through | None) -> Outcome:
        """Scale ``item`` unless all of it is there; ``scene`` is where its depth is, if not where its row says.

        Raises ``StorageError`` where no row could be written.
        """
        try:
            if not self.needs_work(item, record):
                return Outcome(kept=True)
            outcome = self._made(item, scene, through)
        except StorageError as error:
            if not _is_of_one_name(error):
                raise
            outcome = Outcome(state="failed", reason=error.problem)
        except VdaError as error:
            outcome = Outcome(state="failed", reason=error.problem)
        except Exception as error:
            # One video must not end the others' work; what nobody foresaw is told with its type.
            outcome = Outcome(state="failed", reason=f"{type(error).__name__}: {error}")
        self._clear(item, record, outcome)
        return outcome

    def _made(self, item: Item, scene: Path | None, through: Through | None) -> Outcome:
        _require_names(self.folder, item)
        root = scene_of(item, self.places) if scene is None and self.settings.wants_depth else None
        found = root if scene is None else Scene(scene)
        try:
            return self._scaled(item, found, through, count=False)
        except NotAsListed:
            return self._scaled(item, found, through, count=True)

    def _scaled(self, item: Item, scene: Scene | None, through: Through | None, *, count: bool) -> Outcome:
        """Scale by the container's list of frames, or where that did not fit, ``count`` them first."""
        noted = Noted(None)
        source = self.source(item, scene, count=count)
        scaling = Scaling.of(item, source, self.settings, self.threads)
        ways = rungs(self.settings.method, self.settings.chunk_size)
        rung, made = first_that_fits(ways, lambda way: scaling.write(self.folder, way, through), noted)
        if noted.said:
            made.columns["fallback"] = str(rung)
        sources = identities(item, self.places, with_scene=self.settings.wants_depth)
        return Outcome(
            sources={**sources, "video_path": source.info.sha256_head_tail},
            files={name: content_checksum(self.folder / name) or "" for name in made.files},
            columns=made.columns,
            depth=None if source.depth is None else facts_in(source.depth.record),
            notes=(*made.notes, *noted.said),
            said=tuple(noted.said),
        )

    def source(self, item: Item, scene: Scene | None, *, count: bool = False) -> Source:
        """The files of ``item``, opened; as ``open_source``."""
        return open_source(
            item, self.places, scene, self.settings, count=count, threads=self.threads, keep=self.keep_count
        )

    def _clear(self, item: Item, record: Record | None, outcome: Outcome) -> None:
        """Remove what was made of the row before and is not its own any more: it would be a file without a row."""
        before = item.outputs if outcome.state == "failed" else tuple(record.files) if record else ()
        remove_outputs(self.folder, (name for name in before if name not in outcome.files))


def remove_outputs(folder: Path, names: Iterable[str]) -> None:
    """Remove files, or folders, of the output directory; what is not there needs no removing."""
    for name in names:
        path = folder / name
        if os.path.isdir(path):  # noqa: PTH112  (the method raises for a name that is too long)
            shutil.rmtree(path, ignore_errors=True)
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in _ONE_NAMES:
                raise


def _is_of_one_name(error: StorageError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _ONE_NAMES


def _require_names(folder: Path, item: Item) -> None:
    """Raise ``InputError`` where the disk has no room for the names of ``item``'s files, as they are written."""
    folder.mkdir(parents=True, exist_ok=True)
    most = os.pathconf(folder, "PC_NAME_MAX")
    longest = max(
        (temporary_beside(folder / name).name for name in item.outputs), key=lambda name: len(name.encode())
    )
    if len(longest.encode()) > most:
        raise InputError(
            f"Names of {len(longest.encode())} bytes are needed, and the disk of {folder} takes {most}.",
            "Give the row a shorter video_id.",
        )
