"""Who gets what: how many chunks there are, and that a device loads its model once for all scenes."""

from pathlib import Path

import pytest
from depth_runs import INPUT_SIZE, make_video, make_weights

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.compute import computer
from vda.network import VideoDepthModel
from vda.scene.scene import RunRecord
from vda.splitting.draft import default_chunks

FIVE = tuple(f"GPU-{number}" for number in range(5))


@pytest.mark.parametrize(
    ("frames", "devices", "scenes", "chunks"),
    [
        (300, ("cpu",), 1, 4),
        (300, ("cpu", "cpu:1"), 1, 8),
        # A hundred clips share two devices: one chunk each is enough.
        (90, ("cpu", "cpu:1"), 100, 1),
        (90, FIVE, 7, 3),
        # Thirteen hours: none longer than five minutes of the card.
        (1_404_000, FIVE, 1, 468),
        (9_000, ("cpu",), 1, 30),
        # One slow device among fast ones must not sit on a chunk for an hour either.
        (9_000, ("GPU-0", "cpu"), 1, 30),
    ],
)
def test_chunks_by_devices_and_length(frames: int, devices: tuple[str, ...], scenes: int, chunks: int) -> None:
    assert default_chunks(frames, devices, scenes) == chunks


def test_a_model_is_loaded_once_for_all_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = make_weights(tmp_path / "w.safetensors")
    videos = [make_video(tmp_path / f"v{number}.mp4", 26 + number) for number in range(3)]
    scenes = [plan_scene(video, tmp_path / video.stem, devices=(), scenes=3) for video in videos]
    loaded: list[str] = []
    load = computer.load_network

    def counted(record: RunRecord) -> VideoDepthModel:
        loaded.append(record.model)
        return load(record)

    monkeypatch.setattr(computer, "load_network", counted)
    run(
        scenes,
        RunSettings("mini", weights, INPUT_SIZE, devices="cpu", threads=1, on="inline"),
    )
    assert loaded == ["mini"]
    assert [len(scene.finished_windows()) for scene in scenes] == [2, 2, 2]
    log = (scenes[0].logs_dir / "supervisor.log").read_text()
    assert log.count(" starts") == 1
