"""The stage before scaling: a table of videos in, augmentations of its originals and a longer table out.

What is drawn for an augmentation follows from the video's content, its number and the seed. A row is written when
all its files are whole; what is there and as it was written is kept. One process works on one folder, on whatever
machine. This file does not know pictures.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl

from vda.errors import InputError, StorageError, UsageError, VdaError
from vda.files import append_line, read_json_lines, write_bytes
from vda.fvc.alone import OwnFolder, alone
from vda.fvc.augmented import Names, write_augmented
from vda.fvc.checksums import content_checksum
from vda.fvc.freshness import identities
from vda.fvc.kinds import KINDS, alteration, require_kinds
from vda.fvc.paths import TRACKS_ENDING, Places, tracks_name
from vda.fvc.rate import Cadence
from vda.fvc.request import Item, ScaleSettings, items_of
from vda.fvc.row import remove_outputs
from vda.fvc.schema import OPTIONAL, REQUIRED, read_metadata, read_table
from vda.fvc.source import open_source, scene_of
from vda.records import InnerPath, Within, filled_lines, require_sound
from vda.reporter import Reporter, Silence

METADATA_NAME: Final = "augmented_metadata.csv"
_STATE_NAME: Final = "augmented_state.jsonl"
_SHOWN: Final = 5


@dataclass(frozen=True)
class AugmentSettings:
    """What makes the same files of the same video. Number n is of kind n, and after the last comes the first."""

    count: Annotated[int, Within(1)] = 10
    seed: Annotated[int, Within(0)] = 0
    kinds: tuple[str, ...] = tuple(KINDS)
    crf: Annotated[int, Within(0, 51)] = 10

    def __post_init__(self) -> None:
        require_sound(self)
        require_kinds(self.kinds)
        if find_spec("kornia") is None:
            raise UsageError(
                "Augmenting needs the package kornia, which is not installed.",
                "Install it: pip install 'vda-toolkit[train]'.",
            )

    def kind(self, number: int) -> str:
        return self.kinds[number % len(self.kinds)]


@dataclass(frozen=True)
class AugmentResult:
    """``failed`` are the reasons, by the name of the augmentation that could not be made."""

    metadata: Path
    rows: int
    made: int
    kept: int
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "metadata": str(self.metadata)}


def augment(
    metadata: Path,
    folder: Path,
    settings: AugmentSettings | None = None,
    *,
    root: Path | None = None,
    encoding: str | None = None,
    reporter: Reporter | None = None,
) -> AugmentResult:
    """Make ``settings.count`` augmentations of every original in ``metadata``, and a table of all in ``folder``.

    ``encoding`` is how ``metadata`` is stored, ``root`` where else relative paths are looked for. Rows that are
    augmentations already stay as they are. Raises ``InputError`` for metadata that cannot be used,
    ``UsageError`` where the folder was made with other settings, or an augmentation's number is taken, or
    another process is at work there, ``WorkError`` where one took the folder over, and ``StorageError`` where the
    disk refuses.
    """
    settings, reporter = settings or AugmentSettings(), reporter or Silence()
    checked = read_metadata(metadata, outputs=False, encoding=encoding, reporter=reporter)
    table = _Table(checked, read_table(metadata, encoding=encoding), Places(metadata, root), folder)
    wanted = [Wanted(item, number) for item in table.originals for number in range(settings.count)]
    _refuse_taken(table.items, wanted)
    with alone(folder, "augment", "augmenting into", reporter) as mine:
        return _Work(folder, table, settings, mine, reporter).do(wanted)


@dataclass(frozen=True)
class Wanted:
    """Augmentation ``number`` of an original."""

    item: Item
    number: int

    @property
    def names(self) -> Names:
        return Names(tracks_name(self.item.video_id, self.number).removesuffix(TRACKS_ENDING))


@dataclass(frozen=True)
class _Made:
    """What is known of an augmentation: ``sources`` by column, ``files`` with their checksums."""

    sources: dict[str, str]
    files: dict[InnerPath, str]
    told: str

    def is_there(self, folder: Path) -> bool:
        return all(content_checksum(folder / name) == checksum for name, checksum in self.files.items())


@dataclass(frozen=True)
class _Line(_Made):
    """The same under its name, with what was asked for."""

    name: str
    settings: dict[str, Any]


class _Table:
    """The rows that came, and the table that they and what is made of them become."""

    def __init__(self, checked: pl.DataFrame, stated: pl.DataFrame, places: Places, folder: Path) -> None:
        self.items = list(items_of(checked))
        self.places = places
        self._folder = folder
        known = (*REQUIRED, *OPTIONAL, "augmentation")
        self._carried = [{name: row[name] for name in row if name not in known} for row in stated.to_dicts()]

    @property
    def originals(self) -> list[Item]:
        return [item for item in self.items if item.is_original]

    def write(self, made: dict[tuple[int, int], _Made]) -> None:
        """Each row of the metadata, and behind an original its augmentations."""
        rows = [
            row for item in self.items for row in (self._own(item), *self._augmentations(item, made))
        ]  # fmt: skip
        write_bytes(
            self._folder / METADATA_NAME, pl.DataFrame(rows, infer_schema_length=None).write_csv().encode()
        )

    def _own(self, item: Item) -> dict[str, Any]:
        scene, tracks = (
            stated and self._elsewhere(kind, stated)
            for kind, stated in (("scene", item.scene), ("tracks", item.tracks))
        )
        return {
            "video_path": self._elsewhere("video", item.video_path),
            "label": item.label,
            "original_video": item.original_video and self._original(item.original_video),
            "augmentation_idx": item.augmentation_idx,
            "is_original": item.is_original,
            "video_id": item.video_id,
            "dup_group": item.dup_group,
            "platform": item.platform,
            "scene": scene,
            "tracks": tracks,
            "augmentation": None,
            **self._carried[item.row],
        }

    def _augmentations(self, item: Item, made: dict[tuple[int, int], _Made]) -> Iterator[dict[str, Any]]:
        own = self._own(item)
        for number in sorted(number for row, number in made if row == item.row):
            known, names = made[item.row, number], Wanted(item, number).names
            yield {
                **own,
                "video_path": names.video,
                "original_video": own["video_path"],
                "augmentation_idx": number,
                "is_original": False,
                "scene": names.scene if item.scene else None,
                "tracks": names.tracks if item.tracks else None,
                "augmentation": known.told,
            }

    def _elsewhere(self, kind: str, stated: str) -> str:
        """A path that holds in the new table, with links as they are, for names are in them.

        Of what is not there, it is the one looked for first; a path of Windows stays what it is.
        """
        try:
            found = self.places.video(stated) if kind == "video" else self.places.other(kind, stated)
        except InputError:
            return stated if "\\" in stated else str((self.places.metadata.parent / stated).absolute())
        return str(found.absolute())

    def _original(self, stated: str) -> str:
        """A file by a path that holds in the new table, which is in another folder; else what is stated."""
        folders = [folder for folder in (self.places.metadata.parent, self.places.root) if folder is not None]
        return next((str(path.absolute()) for folder in folders if (path := folder / stated).is_file()), stated)


class _Work:
    """One run over all rows; its state is the file of lines, of which the last of a name counts."""

    def __init__(
        self, folder: Path, table: _Table, settings: AugmentSettings, mine: OwnFolder, reporter: Reporter
    ) -> None:
        self._folder, self._table, self._settings = folder, table, settings
        self._alone, self._reporter = mine, reporter
        self._made: dict[tuple[int, int], _Made] = {}
        self._failed: dict[str, str] = {}
        self._cadence = Cadence()

    def do(self, wanted: list[Wanted]) -> AugmentResult:
        known = self._known()
        made = 0
        self._reporter.begin("augment", len(wanted))
        try:
            for place, each in enumerate(wanted):
                made += self._one(each, known.get(each.names.stem))
                self._cadence.maybe(self._write, self._folder / METADATA_NAME)
                self._reporter.at(place + 1)
        finally:
            # Interrupted, what was made is in the table as well.
            self._write()
        self._remove_stale(known, {each.names.stem for each in wanted})
        kept = len(wanted) - made - len(self._failed)
        return AugmentResult(
            self._folder / METADATA_NAME, len(self._table.items) + len(self._made), made, kept, self._failed
        )

    def _remove_stale(self, known: dict[str, _Made], wanted: set[str]) -> None:
        """Remove what was made of rows, or up to a count, that are not asked for any more: no table names it."""
        gone = [made for name, made in known.items() if name not in wanted and made.is_there(self._folder)]
        for made in gone:
            remove_outputs(self._folder, made.files)
        if gone:
            self._reporter.say(f"{len(gone)} augmentations that are not asked for any more were removed.")

    def _write(self) -> None:
        # One that was taken for gone would put an older table in the place of its successor's.
        self._alone.require()
        self._table.write(self._made)
        self._alone.require()

    def _known(self) -> dict[str, _Made]:
        """What was made before. Raises ``UsageError`` where other settings would have made something else."""
        known: dict[str, _Made] = {}
        asked = self._asked()
        for line in filled_lines(_Line, read_json_lines(self._folder / _STATE_NAME)):
            if line.settings != asked:
                differences = [name for name in asked if line.settings.get(name) != asked[name]]
                raise UsageError(
                    f"{self._folder} was made with other settings: {', '.join(differences)}.",
                    "Give another --output-dir, or remove that folder.",
                )
            known[line.name] = line
        return known

    def _asked(self) -> dict[str, Any]:
        """Without the count: more of them change none of those that are there."""
        return {name: value for name, value in json.loads(json.dumps(asdict(self._settings))).items()
                if name != "count"}  # fmt: skip

    def _one(self, wanted: Wanted, known: _Made | None) -> bool:
        """Whether ``wanted`` was made now."""
        now = identities(wanted.item, self._table.places, with_scene=True)
        if known is not None and known.sources == now and known.is_there(self._folder):
            self._made[wanted.item.row, wanted.number] = known
            return False
        try:
            made = self._make(wanted, now)
        except StorageError:
            raise
        except VdaError as error:
            self._failed[wanted.names.stem] = error.problem
            self._reporter.say(f"{wanted.names.video}: {error.problem}")
            return False
        self._alone.require()
        self._made[wanted.item.row, wanted.number] = made
        line = _Line(**asdict(made), name=wanted.names.stem, settings=self._asked())
        append_line(self._folder / _STATE_NAME, json.dumps(asdict(line)))
        return True

    def _make(self, wanted: Wanted, sources: dict[str, str]) -> _Made:
        item, places = wanted.item, self._table.places
        scene = scene_of(item, places) if item.scene else None
        reading = ScaleSettings(modality="both" if scene else "rgb")
        source = open_source(item, places, scene, reading, count=True)
        kind = self._settings.kind(wanted.number)
        entropy = _entropy(source.info.sha256_head_tail, wanted.number, self._settings.seed)
        altering = alteration(kind, entropy, source.size)
        names = write_augmented(source, altering, self._folder, wanted.names, self._settings.crf)
        files = {name: content_checksum(self._folder / name) or "" for name in names}
        return _Made(sources, files, json.dumps({"kind": kind, **altering.told}))


def _entropy(identity: str, number: int, seed: int) -> list[int]:
    """Numbers that random ones follow from: a video's content, not its name, which differs between machines."""
    digest = hashlib.sha256(identity.encode()).digest()
    return [int.from_bytes(digest[:8], "big"), number, seed]


def _refuse_taken(items: list[Item], wanted: list[Wanted]) -> None:
    """Raise ``UsageError`` where two rows would write the same files, or the table has such an augmentation."""
    there = [Wanted(item, item.augmentation_idx) for item in items if item.augmentation_idx is not None]
    count = Counter(each.names.stem for each in (*there, *wanted))
    taken = [name for each in wanted if count[name := each.names.stem] > 1]
    if taken:
        raise UsageError(
            f"{len(taken)} augmentations would have a name that is taken, such as {', '.join(taken[:_SHOWN])}.",
            "Leave out rows that are augmentations, or give each original a video_id of its own.",
        )
