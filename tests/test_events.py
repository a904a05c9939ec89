"""The events of a scene: what is written is read, lines never mix, and no damage makes reading fail."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from vda.scene.events import (
    ChunkBegun,
    ChunkEnded,
    Event,
    EventLog,
    MemoryLowered,
    Paused,
    Resumed,
    WindowBegun,
    WindowComputed,
    WindowRecomputed,
    read_events,
)
from vda.scene.scene import Scene

EVENTS: list[Event] = [
    ChunkBegun(2, "micro-batches of 1"),
    WindowBegun(0, 3),
    MemoryLowered("micro-batches of 2", "micro-batches of 1", "out of memory"),
    WindowRecomputed(0, 3, "its values are not finite"),
    WindowComputed(0, 3, 66, 88, 1.5, "fp32"),
    Paused('the disk is full: "ß"\n'),
    Resumed(3.25),
    ChunkEnded("failed", 9.0, "RuntimeError: no"),
]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def events(scene: Scene) -> list[Event]:
    return [entry.event for entry in read_events(scene)]


def test_all_that_is_noted_is_read_again_with_who_did_it(scene: Scene) -> None:
    for event in EVENTS:
        EventLog(scene, 7, "GPU-1").note(event)
    entries = list(read_events(scene))
    assert [entry.event for entry in entries] == EVENTS
    assert {(entry.chunk, entry.device, entry.pid) for entry in entries} == {(7, "GPU-1", os.getpid())}
    times = [entry.unix_s for entry in entries]
    assert times == sorted(times)
    sentences = scene.chunk_log_path(7).read_text()
    assert f"GPU-1 pid {os.getpid()}: chunk 7: window 0/3 computed, frames 66:88\n" in sentences


def test_a_line_is_a_json_object_that_names_its_units(scene: Scene) -> None:
    EventLog(scene, 1, "cpu:1").note(WindowComputed(0, 3, 66, 88, 1.5, "fp16"))
    (path,) = scene.event_paths()
    line = json.loads(path.read_text())
    stamp = {name: line.pop(name) for name in ("unix_s", "host", "pid")}
    assert stamp["unix_s"] == pytest.approx(path.stat().st_mtime, abs=60)
    assert line == {
        "event": "window_computed",
        "device": "cpu:1",
        "chunk": 1,
        "sequence": 0,
        "k": 3,
        "start_frame": 66,
        "end_frame": 88,
        "seconds": 1.5,
        "precision": "fp16",
    }


def test_each_device_has_a_file_of_its_own(scene: Scene) -> None:
    for device in ("cpu", "cpu:1", "cpu"):
        EventLog(scene, 0, device).note(WindowBegun(0, 0))
    assert len(scene.event_paths()) == 2
    assert sorted(entry.device for entry in read_events(scene)) == ["cpu", "cpu", "cpu:1"]


def test_a_line_torn_anywhere_costs_itself_and_no_other(scene: Scene) -> None:
    log = EventLog(scene, 0, "cpu")
    log.note(EVENTS[0])
    log.note(EVENTS[4])
    (path,) = scene.event_paths()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert events(scene) == [EVENTS[0]]
        log.note(EVENTS[1])
        # All but the end of its line was there: ended by the next writer, it is whole after all.
        kept = [EVENTS[4]] if end == len(whole) - 1 else []
        assert events(scene) == [EVENTS[0], *kept, EVENTS[1]]


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\xff\xfe\x80" * 100,
        os.urandom(5000),
        b"[" * 100_000,
        b"null",
        b"17",
        b'"window_begun"',
        b'["event"]',
        b"{}",
        b'{"event": null}',
        b'{"event": ["window_begun"]}',
        b'{"event": "of a later version", "chunk": 1}',
        b'{"event": "window_begun"}',
        b'{"event": "window_begun", "sequence": 0, "k": "1"}',
        b'{"event": "window_begun", "sequence": 0, "k": 1}',
        b'{"event": "window_begun", "sequence": 0, "k": 1, "unix_s": NaN, "host": "", "device": "", "pid": 1, '
        b'"chunk": 0}',
        b'{"event": "window_begun", "sequence": 0, "k": ' + b"1" * 5000,
    ],
    ids=range(16),
)
def test_what_is_no_event_is_passed_over(scene: Scene, junk: bytes) -> None:
    log = EventLog(scene, 0, "cpu")
    log.note(EVENTS[0])
    (path,) = scene.event_paths()
    path.write_bytes(path.read_bytes() + junk)
    log.note(EVENTS[1])
    (scene.logs_dir / "events_other.jsonl").write_bytes(junk)
    assert events(scene) == EVENTS[:2]


def test_fields_of_a_later_version_do_no_harm(scene: Scene) -> None:
    EventLog(scene, 0, "cpu").note(EVENTS[1])
    (path,) = scene.event_paths()
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": [1]}) + "\n")
    assert events(scene) == [EVENTS[1]]


def test_without_files_nothing_happened(scene: Scene) -> None:
    assert events(scene) == []
    scene.logs_dir.mkdir()
    assert events(scene) == []


def test_damage_without_end_does_not_fill_the_memory(scene: Scene) -> None:
    scene.logs_dir.mkdir()
    with scene.events_path("a").open("wb") as handle:
        handle.truncate(64 << 20)
    tracemalloc.start()
    try:
        assert events(scene) == []
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_lines_of_two_processes_never_mix(scene: Scene) -> None:
    code = (
        "import sys; from pathlib import Path; from vda.scene.events import *; from vda.scene.scene import Scene\n"
        "log = EventLog(Scene(Path(sys.argv[1])), int(sys.argv[2]), 'cpu')\n"
        "for k in range(300): log.note(WindowRecomputed(0, k, 'x' * 3000))"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(scene.root), str(chunk)]) for chunk in (0, 1)]
    assert [process.wait() for process in started] == [0, 0]
    entries = list(read_events(scene))
    for chunk in (0, 1):
        written = [entry.event for entry in entries if entry.chunk == chunk]
        assert written == [WindowRecomputed(0, k, "x" * 3000) for k in range(300)]


def test_a_log_that_cannot_be_written_ends_no_work(scene: Scene) -> None:
    scene.logs_dir.write_text("in the way")
    EventLog(scene, 0, "cpu").note(EVENTS[0])
    assert events(scene) == []


def test_starting_over_forgets_them_as_it_does_the_logs(scene: Scene) -> None:
    EventLog(scene, 0, "cpu").note(EVENTS[0])
    scene.discard_computed()
    assert events(scene) == []
    assert not scene.event_paths()
