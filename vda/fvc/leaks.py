"""Leaks: what hangs together and lies in more than one part of a data set.

In go the rows of a table, the part that each is in, and the folder that its paths are relative to; out come
sentences. The rules are those that ``identity`` states, but nothing is shared with it or with the making of folds:
here there are no groups. Names are turned around and compared as texts, and each row is held against each that it
may come from.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

import polars as pl

from vda.errors import InputError
from vda.splitting.inputs import VIDEO_SUFFIXES

_SHOWN = 5
_FILES = ("video_path", "source_path")


def refuse_leaks(checked: pl.DataFrame, part: Sequence[str], folder: Path) -> None:
    """Raise ``InputError`` naming what lies in more than one ``part`` (a name for every row)."""
    leaks = find_leaks(checked, part, folder)
    if leaks:
        more = "; ..." * (len(leaks) > _SHOWN)
        raise InputError(
            f"{len(leaks)} things lie in more than one part: {'; '.join(leaks[:_SHOWN])}{more}.",
            "Make the column again with vda fvc folds.",
        )


def find_leaks(checked: pl.DataFrame, part: Sequence[str], folder: Path) -> list[str]:
    """Say what lies in more than one part, and in which: files, ids, groups, and videos beside their originals."""
    table = _Stated(checked, folder)
    leaks = [
        _sentence(kind, value, rows, part)
        for kind, places in table.shared.items()
        for value, rows in places.items()
        if len({part[row] for row in rows}) > 1
    ]
    for row, original in table.originals:
        rows = {row, *table.may_be(original)}
        if len({part[place] for place in rows}) > 1:
            leaks.append(_sentence("row", f"{row} and its original {original}", rows, part))
    return list(dict.fromkeys(leaks))


def _sentence(kind: str, value: str, rows: Iterable[int], part: Sequence[str]) -> str:
    return f"{kind} {value} in {', '.join(sorted({part[row] for row in rows}))}"


class _Stated:
    """What the rows say: ``shared`` by kind and value, and ``originals`` with the row that names each."""

    def __init__(self, checked: pl.DataFrame, folder: Path) -> None:
        self._folder = folder
        self.originals = _texts(checked, "original_video")
        self.shared: dict[str, dict[str, set[int]]] = {
            kind: defaultdict(set) for kind in ("file", "original", "video", "dup_group")
        }
        paths = [pair for column in _FILES for pair in _texts(checked, column)]
        for kind, pairs in (("file", paths), ("original", self.originals)):
            for row, text in pairs:
                self.shared[kind][self._file(text)].add(row)
        for kind, column in (("video", "stated_id"), ("dup_group", "dup_group")):
            for row, text in _texts(checked, column):
                self.shared[kind][normalize("NFC", text)].add(row)
        self._reasons: dict[int, list[set[int]]] = defaultdict(list)
        for kind in ("file", "video", "dup_group"):
            for places in self.shared[kind].values():
                for row in places:
                    self._reasons[row].append(places)
        self._texts = dict(self.originals)
        self._rows = _Backwards((text, row) for row, text in paths)
        self._memory: dict[str, set[int]] = {}
        self._unknown = _Backwards((text, row) for row, text in self.originals if self._is_unknown(text))

    def _file(self, text: str) -> str:
        windows = PureWindowsPath(text)
        if windows.drive and windows.root:
            return normalize("NFC", windows.as_posix())
        return normalize("NFC", str((self._folder / windows.as_posix()).resolve()))

    def may_be(self, original: str) -> set[int]:
        """Rows that ``original`` may name, or, where none is it, rows that name it too."""
        return self._unknown.longer(original) if self._is_unknown(original) else self._among_rows(original)

    def _is_unknown(self, original: str) -> bool:
        return not self._among_rows(original) and not self._fits_otherwise(original)

    def _fits_otherwise(self, original: str) -> bool:
        """Whether another row names the same original in a way that fits some row."""
        siblings = self.shared["original"][self._file(original)]
        return any(self._fitting(text) for text in {self._texts[row] for row in siblings})

    def _among_rows(self, original: str) -> set[int]:
        if original not in self._memory:
            self._memory[original] = self._search(original)
        return self._memory[original]

    def _search(self, original: str) -> set[int]:
        if fitting := self._fitting(original):
            return fitting
        # What is named in several ways is looked for elsewhere only where none of them finds it.
        if self._fits_otherwise(original):
            return set()
        elsewhere = self._rows.called(original) - self.shared["original"][self._file(original)]
        return elsewhere if self._is_one(elsewhere) else set()

    def _fitting(self, original: str) -> set[int]:
        file, text = self._file(original), normalize("NFC", _slashed(original))
        exact = self.shared["file"].get(file, set()) | self.shared["video"].get(text, set())
        if exact:
            return exact
        fitting = self._rows.fitting(original)
        stem = _backwards(original).split("/")[0][::-1]
        return fitting | (self.shared["video"].get(stem, set()) if self._rows.depth(original) < 2 else set())

    def _is_one(self, rows: set[int]) -> bool:
        """Whether all rows are one for some reason: there is but one, or a file, an id or a group is theirs."""
        reasons = self._reasons[min(rows)] if rows else []
        return len(rows) == 1 or any(rows <= places for places in reasons)


class _Backwards:
    """Paths from their ends: ``films/a.mp4`` is ``a/smlif/``, so that agreeing ends are common beginnings."""

    def __init__(self, pairs: Iterable[tuple[str, int]]) -> None:
        self._entries = sorted((_backwards(text), _suffix(text).lower(), row) for text, row in pairs)
        self._by_text: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for entry in self._entries:
            self._by_text[entry[0]].append(entry)

    def fitting(self, text: str) -> set[int]:
        """Rows whose paths agree longest with ``text`` and nowhere differ; of the same suffix, if any are."""
        entries = self._longer(_backwards(text)) or self._shorter(_backwards(text))
        same = {row for _, suffix, row in entries if suffix == _suffix(text).lower()}
        return same or {row for _, _, row in entries}

    def longer(self, text: str) -> set[int]:
        """Rows of the paths that end with ``text``, of any suffix."""
        return {row for _, _, row in self._longer(_backwards(text))}

    def depth(self, text: str) -> int:
        """How many parts of ``text`` the paths that fit it share with it."""
        begin = _backwards(text)
        return (begin if self._longer(begin) else next(iter(self._shorter(begin)), ("",))[0]).count("/")

    def called(self, text: str) -> set[int]:
        """Rows whose last part is that of ``text``."""
        return {row for _, _, row in self._longer(_backwards(text).split("/")[0] + "/")}

    def _longer(self, begin: str) -> list[tuple[str, str, int]]:
        first = bisect_left(self._entries, (begin, "", -1))
        last = bisect_left(self._entries, (begin + "\U0010ffff", "", -1))
        return self._entries[first:last]

    def _shorter(self, begin: str) -> list[tuple[str, str, int]]:
        ends = [place + 1 for place, letter in enumerate(begin) if letter == "/"]
        return next((found for end in reversed(ends) if (found := self._by_text.get(begin[:end]))), [])


def _backwards(text: str) -> str:
    path = normalize("NFC", _slashed(text))
    return path[: len(path) - len(_suffix(text))][::-1] + "/"


def _suffix(text: str) -> str:
    suffix = PureWindowsPath(text).suffix
    return suffix if suffix.lower() in VIDEO_SUFFIXES else ""


def _slashed(text: str) -> str:
    """The path without ``.`` parts, and without ``..`` parts that have something before them to take back."""
    kept: list[str] = []
    for part in PureWindowsPath(text).as_posix().split("/"):
        if part == ".." and kept and kept[-1] not in ("", ".."):
            kept.pop()
        elif part != ".":
            kept.append(part)
    return "/".join(kept)


def _texts(checked: pl.DataFrame, column: str) -> list[tuple[int, str]]:
    if column not in checked.columns:
        return []
    return [(row, text) for row, text in zip(range(len(checked)), checked[column].to_list(), strict=True) if text]
