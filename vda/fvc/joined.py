"""The tables of a data set that is being scaled, kept true to the metadata and to all records.

In: the records of one output directory, the rows as the metadata has them now. Out: joined tables, records that
say what rows say, nothing of rows that are gone. This file does not know how a video is scaled.
"""

from dataclasses import replace

from vda.errors import UsageError
from vda.fvc.ledger import Ledger
from vda.fvc.record import Record
from vda.fvc.request import Item
from vda.fvc.tables import LOG_NAME, LOGS_FOLDER, write_log, write_metadata
from vda.reporter import Reporter

# What the joined table says of a video that the metadata has no more.
_REMOVED = {"metadata_row": None, "removed": True}
_MOST_JOINS = 3


def finish(ledger: Ledger, rows: range | None) -> None:
    """Join what all processes have made so far; the ``rows`` of a shard, if it has any, get a log of their own."""
    with ledger.frozen():
        _join_all(ledger)
        if rows:
            mine = [record for record in ledger.records() if record.row in rows]
            name = f"scaled_log_{rows.start:06d}_{rows.stop - 1:06d}.csv"
            write_log(ledger.folder / LOGS_FOLDER / name, mine)
        ledger.settle()


def _join_all(ledger: Ledger) -> None:
    """Join, and again where something came while tables were written.

    Another machine may be joining as well, and not see that this one does: who writes last sees all. More often is
    of no use, for then somebody is at work who will join in turn.
    """
    for _ in range(_MOST_JOINS):
        ledger.read_parts_of_all()
        join(ledger)
        if not ledger.read_parts_of_all():
            return


def join(ledger: Ledger) -> None:
    """To be called ``frozen``: an older joined table must not take the place of a newer one."""
    ledger.read_parts()
    records = ledger.records()
    write_metadata(ledger.folder, records)
    write_log(ledger.folder / LOG_NAME, records)


def follow(ledger: Ledger, items: list[Item], keep_removed: bool, reporter: Reporter) -> int:
    """Remove, or mark, what was made of rows that the metadata has no more; return how many there were."""
    names = {item.name for item in items}
    records, gone = ledger.records(), gone_from(ledger, items)
    kept = {record.name for record in gone} if keep_removed else set()
    if lost := {record.name for record in records} - names - kept:
        ledger.forget(lost)
    told = [replace(record, columns={**record.columns, **_REMOVED}) for record in gone if record.name in kept]
    news = [record for record in told if record not in gone]
    for record in news:
        ledger.note(record)
    count = len(news) if keep_removed else len(gone)
    if count:
        how = "are marked as removed" if keep_removed else "were removed"
        reporter.say(f"{count} videos are not in the metadata any more: they {how}.")
    return count


def gone_from(ledger: Ledger, items: list[Item]) -> list[Record]:
    """What was made of rows that are none of ``items`` any more; ``UsageError`` where all of it was."""
    names = {item.name for item in items}
    done = [record for record in ledger.records() if record.state == "done"]
    if done and not _in_common(done, items):
        raise UsageError(
            f"{ledger.folder} holds other videos than this metadata names: none of its {len(done)} is among them.",
            "Give another --output-dir, or remove that folder.",
        )
    return [record for record in done if record.name not in names]


def _in_common(records: list[Record], items: list[Item]) -> bool:
    """Whether any of ``records`` is of a row of the metadata; names change with rows that are called alike."""
    names, paths = {item.name for item in items}, {item.video_path for item in items}
    return any(record.name in names or record.inputs.get("video_path") in paths for record in records)


def keep(ledger: Ledger, item: Item) -> None:
    """Tell of a video that is there what its row says now: labels are corrected, and rows move."""
    record = ledger.get(item.name)
    assert record is not None
    told = replace(record, row=item.row, inputs=item.inputs, columns={**record.columns, **item.columns})
    if told != record:
        ledger.note(told)
