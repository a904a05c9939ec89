"""One output directory, and machines that do not see each other's locks: no row is lost, and none is there twice.

A machine is a process here whose locks are always given, or fail, as some file systems that machines share do it,
and whose processes no other finds.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Self

import pytest
from data_sets import content, data_set, scaled
from halting import halted, halting, runs

from vda.fvc import joined, writers
from vda.fvc import ledger as ledgers
from vda.fvc.ledger import Ledger, read_records
from vda.fvc.record import Record
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.selection import Selection

ROWS = 6
MACHINE = """
import errno, fcntl, platform, sys
name, locks = sys.argv[1:3]
platform.node = lambda: name
def given(handle, command, record=0):
    if locks == "fail":
        raise OSError(errno.ENOLCK, "No locks available")
    return record
fcntl.fcntl = given
del sys.argv[1:3]
from vda.cli import main
main()
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A data set, and what one process on one machine makes of it."""
    folder = tmp_path_factory.mktemp("set")
    metadata = data_set(folder, ROWS, frames=4)
    scale(metadata, folder / "whole", ScaleSettings(size=64))
    return metadata, content(folder / "whole")


def start(
    machine: str,
    metadata: Path,
    out: Path,
    *options: str,
    locks: str = "always",
    told: int = subprocess.DEVNULL,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    asked = [
        "fvc",
        "scale",
        str(metadata),
        "--output-dir",
        str(out),
        "--size",
        "64",
        "--jobs",
        "1",
        "-q",
        "--json",
    ]
    command = [sys.executable, "-c", MACHINE, machine, locks, *asked, *options]
    return subprocess.Popen(command, stdout=told, env={**os.environ, **environment})


def without_shards_logs(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if not name.startswith("scaled_logs/")}


def test_machines_without_locks_make_what_one_process_makes(
    tmp_path: Path, whole: tuple[Path, dict[str, bytes]]
) -> None:
    """Ranges that overlap, and one of them twice at once; each row is scaled once."""
    metadata, expected = whole
    ranges = (("--end-idx=4", "always"), ("--start-idx=2", "always"), ("--start-idx=2", "fail"))
    tasks = [
        start(f"n{number}", metadata, tmp_path, *asked, locks=locks, told=subprocess.PIPE)
        for number, (*asked, locks) in enumerate(ranges)
    ]
    told = [json.loads(task.communicate()[0]) for task in tasks]
    assert [task.returncode for task in tasks] == [0] * len(tasks)
    assert sum(each["scaled"] for each in told) == ROWS
    assert (tmp_path / "scaled_metadata.csv").read_bytes() == expected["scaled_metadata.csv"]
    assert [row["metadata_row"] for row in scaled(tmp_path)] == [str(row) for row in range(ROWS)]
    # Parts that ended while others were at work are joined by the next one.
    scale(metadata, tmp_path, ScaleSettings(size=64))
    assert without_shards_logs(tmp_path) == expected


def test_what_a_killed_machine_made_is_kept_and_its_rows_go_on_elsewhere(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, whole: tuple[Path, dict[str, bytes]]
) -> None:
    metadata, expected = whole
    halts = tmp_path_factory.mktemp("halts")
    # With its second video in hand.
    task = start("n1", metadata, tmp_path, "--end-idx=3", environment=halting(halts, "--end-idx=3", ".mp4", 2))
    halted(halts / "halted", runs(task))
    task.kill()
    assert task.wait() == -signal.SIGKILL
    noted = {record.name for record in read_records(tmp_path)}
    assert noted
    with start("n2", metadata, tmp_path) as other:
        await_rows(tmp_path, other, range(3, ROWS))
        # For a minute nobody knows that the killed one is not at work: its part and what it left half-made stay.
        files = {name: data for name, data in content(tmp_path).items() if name.endswith(".mp4")}
        assert {name for name in files if name not in expected} <= {name for name in files if ".tmp-" in name}
        assert all(files[name] == data for name, data in expected.items() if name in files)
        assert noted <= {record.name for record in read_records(tmp_path)}
        let_the_lease_end(tmp_path)
        assert other.wait() == 0
    assert content(tmp_path) == expected


def await_rows(folder: Path, task: subprocess.Popen[bytes], rows: range) -> None:
    while not set(rows) <= {record.row for record in read_records(folder)}:
        assert task.poll() is None
        time.sleep(0.005)


def test_a_row_is_one_machines_and_a_claim_is_taken_over_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = tmp_path / "scaled_state" / "claims" / "row_000003.json"
    with (
        on("a", tmp_path, monkeypatch) as one,
        on("b", tmp_path, monkeypatch) as two,
        Ledger(tmp_path) as three,
        one.claim(3) as had,
    ):
        assert had
        for other in (two, three):
            with other.claim(3) as had_too, other.claim(4) as had_another:
                assert (had_too, had_another) == (False, True)
        let_the_lease_end(tmp_path)
        two.note(record("alive", 4))
        with two.claim(3) as had_now, three.claim(3) as had_too:
            assert (had_now, had_too) == (True, False)
            taken = claim.read_text()
            # Who lost it takes nothing away.
            one._claims.release(3)
            assert claim.read_text() == taken
        assert not claim.exists()


def record(name: str, row: int = 0, state: str = "done") -> Record:
    return Record(name, row, {"video_path": name}, state, {})  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return [found.name for found in read_records(folder)]


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def given(path: Path, **_options: object) -> Iterator[bool]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        yield True

    monkeypatch.setattr(ledgers, "exclusive_lock", given)


def on(machine: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger whose parts and claims are named as that machine's."""

    class There(writers.OwnPart):
        def begin(self) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(writers, "_machine", lambda: machine * 16)
                super().begin()

    class Elsewhere(Ledger):
        def __enter__(self) -> Self:
            with monkeypatch.context() as patch:
                patch.setattr(ledgers, "OwnPart", There)
                return super().__enter__()

    with monkeypatch.context() as patch:
        patch.setattr(writers, "_machine", lambda: machine * 16)
        return Elsewhere(folder)


def finish(ledger: Ledger) -> None:
    with ledger.frozen():
        ledger.settle()


def let_the_lease_end(folder: Path) -> None:
    """As if no part had been renewed for an hour."""
    for path in (folder / "scaled_state").glob("part_*"):
        os.utime(path, (time.time() - 3600,) * 2)


@pytest.mark.usefixtures("no_locks")
def test_the_part_of_a_machine_that_shows_itself_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on("a", tmp_path, monkeypatch) as there:
        there.note(record("far"))
        (tmp_path / ".tmp-1-far.mp4").touch()
        with Ledger(tmp_path) as here:
            here.note(record("near", 1))
            finish(here)
        assert (tmp_path / ".tmp-1-far.mp4").exists()
        there.note(record("later", 2))
    assert names(tmp_path) == ["far", "near", "later"]


@pytest.mark.usefixtures("no_locks")
def test_who_was_taken_for_dead_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that stood still for a minute goes on: its part is gone, and all it wrote stands in another."""
    with on("a", tmp_path, monkeypatch) as orphan:
        orphan.note(record("before"))
        let_the_lease_end(tmp_path)
        with Ledger(tmp_path) as here:
            finish(here)
        assert names(tmp_path) == ["before"]
        orphan.note(record("after", 1))
        assert names(tmp_path) == ["before", "after"]
        finish(orphan)
    assert names(tmp_path) == ["before", "after"]


@pytest.mark.usefixtures("no_locks")
def test_a_line_written_while_its_part_is_taken_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at who is at work and the taking away, and between the taking and the joining."""
    taken, joined = Ledger._taken, Ledger._put_into_one
    with on("a", tmp_path, monkeypatch) as orphan:
        orphan.note(record("one"))
        let_the_lease_end(tmp_path)

        def taking(self: Ledger, parts: list[writers.RecordPart]) -> list[writers.RecordPart]:
            orphan.note(record("two", 1))
            return taken(self, parts)

        def joining(self: Ledger, parts: list[writers.RecordPart], records: list[Record]) -> None:
            orphan.note(record("three", 2))
            joined(self, parts, records)

        with monkeypatch.context() as patch, Ledger(tmp_path) as here:
            patch.setattr(Ledger, "_taken", taking)
            patch.setattr(Ledger, "_put_into_one", joining)
            finish(here)
    assert names(tmp_path) == ["one", "two", "three"]


@pytest.mark.usefixtures("no_locks")
def test_two_that_settle_at_once_write_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one read less, and writes last: what it did not know stays."""
    joined = Ledger._put_into_one
    with Ledger(tmp_path) as first:
        first.note(record("first"))
        finish(first)
    with Ledger(tmp_path) as slow:
        slow.note(record("slow", 1))

        def joining(self: Ledger, parts: list[writers.RecordPart], records: list[Record]) -> None:
            monkeypatch.setattr(Ledger, "_put_into_one", joined)
            with Ledger(tmp_path) as quick:
                quick.note(record("quick", 2))
                finish(quick)
            joined(self, parts, records)

        monkeypatch.setattr(Ledger, "_put_into_one", joining)
        finish(slow)
    assert names(tmp_path) == ["first", "slow", "quick"]


@pytest.mark.usefixtures("no_locks")
def test_of_two_that_began_at_once_what_was_done_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "parts_in", lambda _folder: [])
    with on("a", tmp_path, monkeypatch) as one, on("b", tmp_path, monkeypatch) as two:
        one.note(record("x"))
        two.note(record("x", state="failed"))
        monkeypatch.undo()
        assert [path.name[5:11] for path in (tmp_path / "scaled_state").glob("part_*")] == ["000001"] * 2
        assert [found.state for found in read_records(tmp_path)] == ["done"]


@pytest.mark.usefixtures("no_locks")
def test_a_table_written_over_by_an_older_one_is_written_again(
    tmp_path: Path, whole: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While this one writes its table, another machine notes a row and ends: its table was the better one."""
    metadata, expected = whole
    written = joined.write_metadata
    others: list[int] = []

    def writing(folder: Path, records: list[Record]) -> None:
        if not others:
            others.append(start("n2", metadata, tmp_path, "--start-idx=3").wait())
        written(folder, records)

    monkeypatch.setattr(joined, "write_metadata", writing)
    monkeypatch.setattr("vda.fvc.rate.Cadence.maybe", lambda *_: None)
    scale(metadata, tmp_path, ScaleSettings(size=64), selection=Selection(0, 3))
    assert others == [0]
    assert (tmp_path / "scaled_metadata.csv").read_bytes() == expected["scaled_metadata.csv"]
