"""The stage that brings a data set to one size: a table of videos in, scaled videos and joined tables out.

Each video is scaled by one process, and one that cannot be used becomes a row in the log while the others go on.
Several processes work on one output directory without knowing of each other. This file does not know pictures,
nor how records are kept.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vda.errors import StorageError, UsageError, VdaError
from vda.fvc.autoencoder import load_autoencoder
from vda.fvc.clip import Made, Scaling, Through
from vda.fvc.fallback import first_that_fits, rungs
from vda.fvc.ledger import Ledger, Record
from vda.fvc.makedepth import DepthMaker
from vda.fvc.paths import Places
from vda.fvc.rate import Cadence
from vda.fvc.request import Item, ScaleSettings, items_of
from vda.fvc.schema import read_metadata
from vda.fvc.selection import Selection
from vda.fvc.source import open_source, scene_of
from vda.fvc.tables import LOG_NAME, LOGS_FOLDER, METADATA_NAME, write_log, write_metadata
from vda.reporter import Noted, Reporter, Silence
from vda.scene.scene import Scene


@dataclass(frozen=True)
class ScaleResult:
    """What there is of the rows that were asked for: ``failed`` are the reasons, by the name of the output."""

    folder: Path
    rows: int
    scaled: int
    kept: int
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "output_dir": str(self.folder),
            "metadata": str(self.folder / METADATA_NAME),
            "log": str(self.folder / LOG_NAME),
            "rows": self.rows,
            "scaled": self.scaled,
            "kept": self.kept,
            "failed": self.failed,
        }


def scale(
    metadata: Path,
    folder: Path,
    settings: ScaleSettings,
    *,
    selection: Selection | None = None,
    root: Path | None = None,
    delete_existing: bool = False,
    through: Through | None = None,
    maker: DepthMaker | None = None,
    reporter: Reporter | None = None,
) -> ScaleResult:
    """Scale the videos of the rows selected into ``folder``; those that are there and whole are kept.

    ``through`` is the autoencoder, where it is loaded already; ``maker`` computes depth that is not there. Raises
    ``InputError`` for metadata that cannot be used, ``UsageError`` where rows were scaled with other settings,
    ``StorageError`` where the disk refuses.
    """
    if settings.autoencoder is not None and through is None:
        through = load_autoencoder(settings.autoencoder)
    selection, reporter = selection or Selection(), reporter or Silence()
    items = list(items_of(read_metadata(metadata)))
    chosen = [items[row] for row in selection.in_order(len(items))]
    with Ledger(folder) as ledger:
        if delete_existing:
            ledger.forget({item.name for item in chosen})
        _refuse_other_settings(ledger, chosen, settings)
        work = _Work(ledger, Places(metadata, root), settings, through, maker, reporter)
        rows = selection.rows(len(items))
        try:
            work.do(chosen)
        finally:
            # Interrupted, what was done is in the tables as well.
            _finish(ledger, None if len(rows) == len(items) else rows)
        mine = [record for item in chosen if (record := ledger.get(item.name)) is not None]
    failed = {record.name: record.reason for record in mine if record.state == "failed"}
    return ScaleResult(folder, len(chosen), work.scaled, len(chosen) - work.scaled - len(failed), failed)


def _refuse_other_settings(ledger: Ledger, items: list[Item], settings: ScaleSettings) -> None:
    for item in items:
        record = ledger.get(item.name)
        if record is None or record.state == "failed":
            continue
        if differences := settings.differences(record.settings):
            raise UsageError(
                f"{ledger.folder / item.name} was made with other settings: {'; '.join(differences)}.",
                "Give another --output-dir, or --delete-existing to start over.",
            )


def _finish(ledger: Ledger, rows: range | None) -> None:
    """Join what all processes have made so far; the ``rows`` of a shard, if it has any, get a log of their own."""
    with ledger.frozen():
        _join(ledger)
        if rows:
            mine = [record for record in ledger.records() if record.row in rows]
            name = f"scaled_log_{rows.start:06d}_{rows.stop - 1:06d}.csv"
            write_log(ledger.folder / LOGS_FOLDER / name, mine)
        ledger.settle()


def _join(ledger: Ledger) -> None:
    """To be called ``frozen``: an older joined table must not take the place of a newer one."""
    ledger.read_parts()
    records = ledger.records()
    write_metadata(ledger.folder, records)
    write_log(ledger.folder / LOG_NAME, records)


@dataclass
class _Work:
    """Goes through videos, one after another; ``scaled`` counts those made here."""

    ledger: Ledger
    places: Places
    settings: ScaleSettings
    through: Through | None
    maker: DepthMaker | None
    reporter: Reporter
    scaled: int = 0

    def do(self, items: list[Item]) -> None:
        """Scale what is not there yet; videos that another process has in hand are looked at again at the end."""
        if self.maker is not None:
            self.maker.make([item for item in items if self._is_to_do(item)])
        self.reporter.begin("scaling", len(items))
        busy: list[Item] = []
        done = 0
        cadence = Cadence()
        for waits, queue in ((False, items), (True, busy)):
            for item in queue:
                with self.ledger.claim(item.row, wait=waits) as had:
                    if not had:
                        busy.append(item)
                        continue
                    if self._is_to_do(item):
                        self._do(item)
                        cadence.maybe(self._join_now)
                    else:
                        self._keep(item)
                done += 1
                self.reporter.at(done)

    def _join_now(self) -> None:
        with self.ledger.frozen():
            _join(self.ledger)

    def _is_to_do(self, item: Item) -> bool:
        record = self.ledger.get(item.name)
        return record is None or record.inputs != item.inputs or not record.is_whole_in(self.ledger.folder)

    def _keep(self, item: Item) -> None:
        """Tell of a video that is there what its row says now: labels are corrected, and rows move."""
        record = self.ledger.get(item.name)
        assert record is not None
        columns = {**record.columns, **item.columns}
        if columns != record.columns:
            self.ledger.note(replace(record, row=item.row, columns=columns))

    def _do(self, item: Item) -> None:
        noted = Noted(self.reporter, f"{item.video_path}: ")
        notes = noted.said
        try:
            made = self._make(item, noted)
        except StorageError:
            # A full disk is no fault of the video's, and the next would meet it as well.
            raise
        except VdaError as error:
            self._failed(item, error.problem, notes)
        except Exception as error:
            # One video must not end the others' work; what nobody foresaw is told with its type.
            self._failed(item, f"{type(error).__name__}: {error}", notes)
        else:
            self._made(item, made, notes)

    def _make(self, item: Item, noted: Noted) -> Made:
        source = open_source(item, self.places, self._scene(item) if self.settings.wants_depth else None)
        scaling = Scaling.of(item, source, self.settings)
        ways = rungs(self.settings.method, self.settings.chunk_size)
        folder = self.ledger.folder
        rung, made = first_that_fits(ways, lambda way: scaling.write(folder, way, self.through), noted)
        if noted.said:
            made.columns["fallback"] = str(rung)
        return made

    def _scene(self, item: Item) -> Scene:
        return scene_of(item, self.places) if self.maker is None else Scene(self.maker.scene_root(item))

    def _made(self, item: Item, made: Made, said: list[str]) -> None:
        folder = self.ledger.folder
        self.scaled += 1
        self._note(
            item,
            state="done",
            files={name: (folder / name).stat().st_size for name in made.files},
            columns=made.columns,
            notes=(*made.notes, *said),
        )

    def _failed(self, item: Item, reason: str, notes: list[str]) -> None:
        self.reporter.say(f"{item.video_path} is left out: {reason}")
        # A picture without its depth would be a file without a row.
        self.ledger.remove(item.outputs)
        self._note(item, state="failed", notes=tuple(notes), reason=reason)

    def _note(self, item: Item, **values: Any) -> None:
        record = Record(item.name, item.row, item.inputs, settings=self.settings.to_json(), **values)
        self.ledger.note(record)
