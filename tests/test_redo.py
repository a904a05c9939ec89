"""One chunk computed again: what was merged of the old windows is said to be old, and never taken for the new."""

from pathlib import Path

import pytest
from depth_runs import depth_digest, make_video, make_weights, run_keywords

import vda
from vda.api.pipeline import merge_scene, redo
from vda.errors import SceneError, UsageError
from vda.merging.settings import MergeSettings
from vda.merging.stage import remove_intermediates
from vda.scene.scene import Scene
from vda.supervisor.resolve import RunSettings


def test_a_chunk_computed_again_waits_for_its_merge(tmp_path: Path) -> None:
    film, weights = make_video(tmp_path / "film.mp4", 40), make_weights(tmp_path / "w.safetensors")
    root, keywords = tmp_path / "scene", run_keywords(weights)
    vda.depth(film, root, chunks=2, create_video=False, **keywords)
    scene, before = Scene(root), depth_digest(root)
    here = RunSettings(devices="cpu", on="inline", threads=1)
    redo(scene, 1, here)
    assert vda.open_scene(root).status["state"] == "complete"
    with pytest.raises(UsageError, match=r"Chunk 1 .* computed again"):
        merge_scene(scene, MergeSettings())
    with pytest.raises(UsageError, match=r"Chunk 1 .* computed again"):
        vda.depth(film, root, create_video=False, **keywords)
    with pytest.raises(SceneError, match="not merged yet"):
        remove_intermediates(scene)
    merge_scene(scene, MergeSettings(overwrite=True))
    assert vda.open_scene(root).status["state"] == "merged"
    assert depth_digest(root) == before

    # Without their windows the other chunks have no depth to be joined to; with what it was made is kept.
    assert remove_intermediates(scene) > 0
    assert not scene.finished_windows()
    with pytest.raises(SceneError, match=r"raw windows .* are gone"):
        redo(scene, 1, here)
    assert vda.open_scene(root).status["state"] == "merged"
    assert depth_digest(root) == before
    record = scene.run_record()
    assert record is not None and record.weights_path == str(weights)
