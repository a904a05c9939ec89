"""Records of what is done, kept by several processes at once: each of these ledgers is one."""

from pathlib import Path

import pytest

from vda.errors import InputError
from vda.fvc.ledger import Ledger
from vda.fvc.record import Record
from vda.fvc.tables import metadata_table


def record(name: str, row: int = 0, state: str = "done", **values: object) -> Record:
    return Record(name, row, {"video_path": name}, state, {}, **values)  # type: ignore[arg-type]


def parts(folder: Path) -> list[int]:
    """The numbers of the parts; what follows in a name tells whose it is."""
    return sorted(int(path.name[5:11]) for path in (folder / "scaled_state").glob("part_*"))


def finish(ledger: Ledger) -> None:
    with ledger.frozen():
        ledger.settle()


def names(ledger: Ledger) -> list[str]:
    with ledger.frozen():
        ledger.read_parts()
    return [found.name for found in ledger.records()]


def test_a_line_torn_by_a_kill_is_none(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.note(record("a"))
    (part,) = (tmp_path / "scaled_state").glob("part_000001-*.jsonl")
    part.write_bytes(part.read_bytes() + record("b").to_line()[:-5])
    with Ledger(tmp_path) as ledger:
        assert names(ledger) == ["a"]
        ledger.note(record("b"))
        finish(ledger)
    with Ledger(tmp_path) as ledger:
        assert names(ledger) == ["a", "b"]


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "scaled_state").mkdir()
    (tmp_path / "scaled_state" / "part_000003.jsonl").write_bytes(b"{}\n")
    with pytest.raises(InputError, match=r"part_000003\.jsonl"), Ledger(tmp_path):
        pass


def test_one_process_at_a_time_has_a_row_and_the_next_knows_what_came_of_it(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as two:
        with one.claim(3) as had:
            assert had
            with two.claim(3) as had_too, two.claim(4) as had_other:
                assert (had_too, had_other) == (False, True)
            one.note(record("c", 3))
        assert two.get("c") is None
        with two.claim(3) as had:
            assert had
            assert two.get("c") == record("c", 3)


def test_only_what_others_wrote_meanwhile_is_news(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one:
        one.note(record("before"))
        with Ledger(tmp_path) as two:
            one.note(record("meanwhile", 1))
            two.note(record("own", 2))
            assert names(two) == ["before", "meanwhile", "own"]
            assert [two.news(name) is not None for name in names(two)] == [False, True, False]
            # The same records in another part are nothing new.
            finish(one)
            assert two.news("before") is None
    with Ledger(tmp_path) as three:
        assert not any(three.news(name) for name in names(three))


def test_who_finishes_first_leaves_the_part_of_who_is_at_work(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one:
        one.note(record("b", 1))
        (tmp_path / ".tmp-1234-b.mp4").touch()
        with Ledger(tmp_path) as two:
            two.note(record("a", 0))
            finish(two)
        # What the later one found counts more, so it waits for the earlier.
        assert parts(tmp_path) == [1, 2]
        assert (tmp_path / ".tmp-1234-b.mp4").exists()
        one.note(record("c", 2))
        finish(one)
    assert parts(tmp_path) == [0]
    assert not (tmp_path / ".tmp-1234-b.mp4").exists()
    with Ledger(tmp_path) as three:
        assert names(three) == ["a", "b", "c"]


def test_what_a_later_process_found_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.note(record("a", state="failed", reason="no memory"))
        finish(ledger)
    with Ledger(tmp_path) as ledger:
        ledger.note(record("a"))
    with Ledger(tmp_path) as ledger:
        assert [found.state for found in ledger.records()] == ["done"]


def test_starting_over_spares_what_others_are_making(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"1")
    with Ledger(tmp_path) as ledger:
        for name in ("a.mp4", "b.mp4"):
            ledger.note(record(name, files={name: "1"}))
        finish(ledger)
    with Ledger(tmp_path) as living, Ledger(tmp_path) as ledger:
        living.note(record("c.mp4", files={"c.mp4": "1"}))
        assert names(ledger) == ["a.mp4", "b.mp4", "c.mp4"]
        ledger.forget({"a.mp4", "c.mp4"})
        assert names(ledger) == ["b.mp4", "c.mp4"]
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["b.mp4", "c.mp4"]


def test_what_a_record_tells_of_another_type_is_refused() -> None:
    """Columns are numbers, texts and flags, and a file may hold anything."""
    wrong: tuple[dict[str, object], ...] = ({"frames": "many"}, {"frames": [3]}, {"video_path": {}})
    for columns in wrong:
        with pytest.raises(InputError, match="scaled_state"):
            metadata_table([record("a"), record("b", columns=columns)])
