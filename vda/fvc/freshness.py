"""Whether what was made of a row is still what would be made of it now.

In: a row, its record and where paths lead. Out: what changed, in words. Sources that are not there any more are
not held against anybody: originals are put away once they are scaled. This file does not know how rows are scaled,
nor whether what was made is still there.
"""

from collections.abc import Callable
from pathlib import Path

from vda.errors import VdaError
from vda.files import sha256_file
from vda.fvc.checksums import content_checksum, scene_identity, video_identity
from vda.fvc.paths import Places
from vda.fvc.record import Record
from vda.fvc.request import Item
from vda.scene.scene import Scene

ABSENT = ""


def identities(item: Item, places: Places, *, with_scene: bool) -> dict[str, str]:
    """What each source of ``item`` holds now, by the name of its column; ``ABSENT`` where it is not there."""
    found = {"video_path": _identity(lambda: video_identity(places.video(item.video_path)))}
    if with_scene and (scene := item.scene) is not None:
        found["scene"] = _identity(lambda: scene_identity(Scene(places.other("scene", scene))))
    if (tracks := item.tracks) is not None:
        found["tracks"] = _identity(lambda: sha256_file(places.other("track file", tracks)))
    return found


def _identity(look: Callable[[], str]) -> str:
    try:
        return look()
    # A path that no disk can have (too long, with a zero byte) is that of no file.
    except (VdaError, OSError, ValueError):
        return ABSENT


def changed_sources(record: Record, item: Item, now: dict[str, str]) -> list[str]:
    """Name the sources that are not those of ``record``, by their column and the path that ``item`` states."""
    changed = [
        name
        for name, identity in now.items()
        if identity != record.sources.get(name)
        and (identity != ABSENT or item.inputs[name] != record.inputs.get(name))
    ]
    gone = [name for name in record.sources if name not in now]
    return [f"{name} {item.inputs[name] or 'is empty now'}" for name in (*changed, *gone)]


def broken_files(record: Record, folder: Path) -> list[str]:
    """The files of ``record`` that are not there as they were written."""
    return [name for name, checksum in record.files.items() if content_checksum(folder / name) != checksum]
