"""Records that only spare work: a damaged one costs that work again, and nothing else."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import clips
import numpy as np
import pytest
from data_sets import content, table

from vda.compute.computer import known_fit
from vda.compute.ladder import MemoryFit
from vda.errors import InputError
from vda.fvc.augment import AugmentSettings, augment
from vda.fvc.ledger import Ledger, read_records
from vda.fvc.record import Record
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.shards import ShardSettings, write_shards
from vda.scene.runstate import Recomputed, RunFiles
from vda.training import cache

# Each is whole JSON, but none is what stands in these files.
LINES = ["[]", "{}", "3", "null", '{"index": 1}', '{"index": -1, "missing": 0, "invalid": 0, "clipped": 0}']
DAMAGE = b"\n".join(line.encode() for line in LINES) + b"\n\xff\xfe\n" + b"[" * 10_000 + b"\n"


@pytest.mark.parametrize("text", ["[]", "{", "{}", "1" * 400, '{"encoder_batch": 0}', '{"encoder_batch": 1e999}'])
def test_what_fits_a_device_is_found_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "fits.json").write_text(text)
    assert known_fit(tmp_path / "fits.json") is None


def test_what_fits_a_device_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "fits.json").write_text(json.dumps(asdict(MemoryFit(4, 16, True))))
    assert known_fit(tmp_path / "fits.json") == MemoryFit(4, 16, True)


def test_windows_computed_again_are_counted_by_whole_lines(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    files.recomputed_path.write_bytes(DAMAGE + b'{"window": [1], "problem": "x", "instead": "fp32"}\n')
    files.note_recomputed(Recomputed((1, 2), "its values are not finite", "fp32"))
    assert [entry.window for entry in files.recomputed()] == [(1, 2)]


def signed(record: dict[str, object]) -> bytes:
    text = json.dumps(record).encode()
    return text + b"\t" + hashlib.sha256(text).hexdigest()[:16].encode() + b"\n"


@pytest.mark.parametrize(
    "wrong",
    [{"row": -1}, {"row": []}, {"state": "lost"}, {"inputs": []}, {"notes": 3}, {"files": {"../x": "0"}},
     {"files": {"/etc/x": "0"}}, {"settings": None}],
    ids=str,
)  # fmt: skip
def test_a_ledgers_line_of_another_shape_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    sound = {"name": "a", "row": 0, "inputs": {"video_path": None}, "state": "done", "settings": {}}
    with Ledger(tmp_path) as ledger:
        ledger.note(Record(**sound))  # type: ignore[arg-type]
    (part,) = (tmp_path / "scaled_state").glob("part_*.jsonl")
    # What other programs leave there is no part.
    (part.parent / "part_of_it.jsonl").write_text("{}\n")
    part.write_bytes(signed(sound))
    assert [record.name for record in read_records(tmp_path)] == ["a"]
    part.write_bytes(signed({**sound, **wrong}))
    with pytest.raises(InputError, match="part_"):
        read_records(tmp_path)


def test_augmentations_with_damaged_notes_are_made_again(tmp_path: Path) -> None:
    pytest.importorskip("kornia")
    clips.make_clip(tmp_path / "a.mp4", range(4))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    augment(metadata, tmp_path / "out", AugmentSettings(1))
    state = tmp_path / "out" / "augmented_state.jsonl"
    whole = content(tmp_path / "out")
    outside = tmp_path / "precious.txt"
    outside.write_text("mine")
    line = {**json.loads(state.read_text()), "name": "gone", "files": {"../precious.txt": "0"}}
    state.write_bytes(DAMAGE + json.dumps(line).encode() + b"\n")
    assert augment(metadata, tmp_path / "out", AugmentSettings(1)).made == 1
    assert outside.read_text() == "mine"
    assert {**content(tmp_path / "out"), state.name: b""} == {**whole, state.name: b""}


@pytest.mark.parametrize("text", ["[]", '{"a.tar": {}}', '{"../precious.txt": {"of": "", "sha256": ""}}', "\xff"])
def test_the_list_of_shards_is_refused_where_it_is_none(tmp_path: Path, text: str) -> None:
    pytest.importorskip("webdataset")
    clips.make_clip(tmp_path / "a.mp4", range(4))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "scaled", ScaleSettings(size=80))
    outside = tmp_path / "precious.txt"
    outside.write_text("mine")
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "shards.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"shards\.json"):
        write_shards(tmp_path / "scaled", tmp_path / "shards", ShardSettings())
    assert outside.read_text() == "mine"


def test_a_training_clip_that_is_another_is_refused(tmp_path: Path) -> None:
    clip = cache.Clip(3, 2, 8, 12)
    sound = np.zeros(2, cache.frame_type(8, 12))
    np.save(tmp_path / clip.name, sound)
    assert cache.read(tmp_path, clip, [1])[0].shape == (1, 8, 12, 3)
    for wrong in (sound[:1], np.zeros(2, cache.frame_type(8, 8)), np.zeros((2, 8, 12))):
        np.save(tmp_path / clip.name, wrong)
        with pytest.raises(InputError, match=clip.name):
            cache.read(tmp_path, clip, [1])
    (tmp_path / clip.name).write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(InputError, match=clip.name):
        cache.read(tmp_path, clip, [1])
