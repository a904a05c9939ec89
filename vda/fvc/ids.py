"""What the files made of each row are named by, where the table does not say it.

In go checked rows; out comes an id for each: the name of its original, and where rows would then write the same
files, as much of the paths as tells these apart. Names that tell rows apart by themselves never change. This file
does not know what else names are good for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

import polars as pl

from vda.fvc.identity import Name
from vda.fvc.paths import video_id

_COLUMNS = ("video_path", "original_video", "augmentation_idx", "video_id")


def derived_ids(typed: pl.DataFrame) -> list[str]:
    """The id of every row; a ``video_id`` that is stated stays."""
    rows = typed.select(*_COLUMNS).rows()
    ids = [stated or video_id(path, original) for path, original, _, stated in rows]
    outputs = Counter((name, row[2]) for name, row in zip(ids, rows, strict=True))
    contested: dict[str, list[int]] = defaultdict(list)
    for place, (_, _, _, stated) in enumerate(rows):
        if not stated:
            contested[ids[place]].append(place)
    taken = {name for (name, _), count in outputs.items() if count > 1}
    for name in taken & contested.keys():
        for place, longer in _told_apart(contested[name], rows):
            ids[place] = longer
    return ids


def _told_apart(
    places: Iterable[int], rows: list[tuple[str, str | None, int | None, str | None]]
) -> list[tuple[int, str]]:
    """Ids from the fewest last parts of paths by which no two of these rows write the same; none where none does.

    An augmentation goes by its original's path, and all else by its own.
    """
    names = {
        place: Name.of(path if number is None else original or path)
        for place in places
        for path, original, number, _ in [rows[place]]
    }
    parts = {
        place: [part for part in name.parts if part.strip(".") and part[-1] != ":"]
        for place, name in names.items()
    }
    for length in range(1, max(map(len, parts.values()), default=0) + 1):
        ids = {place: "_".join(parts[place][-length:]) for place in parts}
        if len({(name, rows[place][2]) for place, name in ids.items()}) == len(ids):
            return list(ids.items())
    return []
