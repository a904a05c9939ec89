"""What the files made of each row are named by, where the table does not say it.

In go checked rows; out comes an id for each: the name of its original, and where rows would then write the same
files, as much of the paths as tells these apart. Names that tell rows apart by themselves never change. This file
does not know what else names are good for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import polars as pl

from vda.fvc.identity import Name
from vda.fvc.paths import video_id

_Row = tuple[str, str | None, int | None, str | None]
_COLUMNS = ("video_path", "original_video", "augmentation_idx", "video_id")


def derived_ids(typed: pl.DataFrame) -> list[str]:
    """The id of every row; a ``video_id`` that is stated stays."""
    rows = typed.select(*_COLUMNS).rows()
    ids = [stated or video_id(path, original) for path, original, _, stated in rows]
    alike: dict[str, list[int]] = defaultdict(list)
    for place, (_, _, _, stated) in enumerate(rows):
        if not stated:
            alike[ids[place]].append(place)
    longer = {name: _told_apart(places, rows) for name, places in alike.items()}
    # Longer ids may be those of other rows, which then need longer ones as well.
    while contested := _contested(ids, rows) & longer.keys():
        for name in contested:
            found = next(longer[name], None)
            if found is None:
                del longer[name]
                continue
            for place, new in zip(alike[name], found, strict=True):
                ids[place] = new
    return ids


def _contested(ids: Sequence[str], rows: Sequence[_Row]) -> set[str]:
    """First names of rows that would write the same files as others."""
    outputs = [(name, number) for name, (_, _, number, _) in zip(ids, rows, strict=True)]
    count = Counter(outputs)
    return {
        video_id(path, original)
        for output, (path, original, _, _) in zip(outputs, rows, strict=True)
        if count[output] > 1
    }


def _told_apart(places: Sequence[int], rows: Sequence[_Row]) -> Iterator[list[str]]:
    """Ids by which no two of these rows write the same: the fewest last parts of paths, then more, then suffixes.

    An augmentation goes by its original's path, and all else by its own.
    """
    names = [
        Name.of(path if number is None else original or path)
        for path, original, number, _ in (rows[place] for place in places)
    ]
    parts = [[part for part in name.parts if part.strip(".") and part[-1] != ":"] for name in names]
    endings = [name.suffix.replace(".", "_") for name in names]
    for shown in ([""] * len(names), endings):
        for length in range(1, max(map(len, parts), default=0) + 1):
            ids = ["_".join(those[-length:]) + ending for those, ending in zip(parts, shown, strict=True)]
            if len({(name, rows[place][2]) for name, place in zip(ids, places, strict=True)}) == len(ids):
                yield ids
