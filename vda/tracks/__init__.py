"""2D tracks in, 3D tracks out: every file format.

In goes the file or folder of a tracker, recognised by what is in it; out come columns (``Tracks``), and, with what
enriching found (``Enriched``), the same file again with fields added. The file is read for the columns and again
while it is written, so nothing of it but the columns is held.

    records      what the formats read into: one row per record, in columns
    textfiles    text files of records, line by line
    jsonstream   JSON files of any size, one record at a time
    classic      the classic file of ``tracks``
    mot          MOTChallenge text
    coco         COCO-style JSON
    ultralytics  label folders and JSON of Ultralytics
    flat         CSV and JSON lists of named fields
    enriched     what enriching found, and how it is spelled
    table        a flat table of all records, and a sheet with units

Nothing here knows what depth is.
"""

from pathlib import Path
from types import ModuleType

from vda.errors import InputError, UsageError
from vda.files import write_json
from vda.tracks import classic, coco, flat, mot, ultralytics
from vda.tracks.enriched import Bridge, Enriched
from vda.tracks.jsonstream import stream
from vda.tracks.records import Asked, Header, Skip, TrackRecord, Tracks, collect
from vda.tracks.table import SHEET_MOST_ROWS, write_sheet, write_table
from vda.tracks.textfiles import beside, first_line

__all__ = [
    "FORMATS",
    "SHEET_MOST_ROWS",
    "Asked",
    "Bridge",
    "Enriched",
    "Header",
    "Skip",
    "TrackRecord",
    "Tracks",
    "read_tracks",
    "recognise",
    "write_sheet",
    "write_table",
    "write_tracks",
]

_MODULES: dict[str, ModuleType] = {module.NAME: module for module in (classic, mot, coco, ultralytics, flat)}
FORMATS = tuple(_MODULES)


def require_format(name: str | None) -> None:
    """Raise ``UsageError`` where there is no format of that name; None is what the content tells."""
    if name not in (None, *FORMATS):
        raise UsageError(f"There is no track format {name}.", f"Choose one of: {', '.join(FORMATS)}.")


_OF_NOTHING = {".txt": mot.NAME, ".csv": flat.NAME, ".jsonl": ultralytics.NAME}


def read_tracks(path: Path, format_name: str | None = None, asked: Asked | None = None) -> Tracks:
    """Read ``path`` into columns; ``format_name`` (one of ``FORMATS``) where its content does not tell.

    Raises ``InputError`` for a file that is of no known format, is cut off, or does not say how frames count.
    """
    if not path.exists():
        raise InputError(f"There is no track file {path}.", "Check the path.")
    name, asked = format_name or recognise(path), asked or Asked()
    _check_object(path, name)
    return collect(path, name, _MODULES[name].read(path, asked), asked)


def write_tracks(tracks: Tracks, enriched: Enriched, output: Path) -> list[Path]:
    """Write the tracks' own file again, enriched; return what was written.

    Formats that have no place for counts and reasons get them in ``<output>.vda.json``.
    """
    _MODULES[tracks.format].write(tracks.path, output, enriched)
    if tracks.format in {classic.NAME, coco.NAME} and _is_object(tracks.path):
        return [output]
    codes = {str(int(skip)): skip.text for skip in Skip}
    columns = [*enriched.columns(), "vda_reason"]
    write_json(beside(output), {**enriched.metadata(), "columns_added": columns, "reason_codes": codes})
    return [output, beside(output)]


def _is_object(path: Path) -> bool:
    first = next(stream(path), None)
    return first is not None and first.kind == "open"


def _check_object(path: Path, name: str) -> None:
    """Refuse a JSON object under a name whose records it cannot hold: it would be read as a file without any."""
    if path.is_dir() or not first_line(path).lstrip().startswith("{") or _recognise_json(path) == name:
        return
    raise InputError(
        f"{path} is a JSON object, and not one of the format {name}.",
        "A classic file has a list tracks, a COCO file a list annotations; the other formats are no objects.",
    )


def recognise(path: Path) -> str:
    """The name of the format, by content. Raises ``InputError`` where it is none of them."""
    name = _recognise_folder(path) if path.is_dir() else _recognise_file(path)
    if name is None:
        raise InputError(
            f"{path} is in no track format that is known.",
            f"Name the format with --track-format: {', '.join(FORMATS)}.",
        )
    return name


def _recognise_folder(path: Path) -> str | None:
    """A folder of labels; an empty one is that of a video in which nothing was found."""
    return ultralytics.NAME if ultralytics.label_files(path) or not any(path.iterdir()) else None


def _recognise_file(path: Path) -> str | None:
    first = first_line(path)
    if not first:
        # A tracker that found nothing writes nothing.
        return _OF_NOTHING.get(path.suffix.lower())
    if mot.looks_like_region(first):
        raise InputError(
            f"{path} holds a rectangle or a polygon per line, as VOT writes them, and no frames.",
            "Convert it to MOTChallenge lines: frame, id, left, top, width, height; if it has such lines, say so "
            "with --track-format mot.",
        )
    if first.lstrip().startswith(("{", "[")):
        return _recognise_json(path)
    if mot.looks_like(first):
        return mot.NAME
    return flat.NAME if flat.has_box(first.replace('"', "").split(",")) else None


def _recognise_json(path: Path) -> str | None:
    """By the first key or the first record that belongs to one format only; an empty list is anybody's."""
    kinds = []
    for event in stream(path, ("tracks", "annotations", "images")):
        if event.kind == "begin" and event.key is not None:
            return classic.NAME if event.key == "tracks" else coco.NAME
        if event.kind == "item":
            return _recognise_item(event.value)
        kinds.append(event.kind)
    return flat.NAME if kinds == ["begin", "end"] else None


def _recognise_item(item: object) -> str | None:
    if isinstance(item, list) or (isinstance(item, dict) and "box" in item):
        return ultralytics.NAME
    if isinstance(item, dict) and "image_id" in item and "bbox" in item:
        return coco.NAME
    return flat.NAME if isinstance(item, dict) and flat.has_box(item) else None
