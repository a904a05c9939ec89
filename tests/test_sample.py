"""The sample in data/: small enough, licensed, and made again by the command that its page gives."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vda.cli.synth import synth
from vda.synth.clip import ClipSpec
from vda.synth.render import RenderedFrame, render_frames
from vda.synth.truth import Tracker
from vda.tracks import read_tracks
from vda.video import index_frames, probe, read_frame_list

DATA = Path(__file__).parents[1] / "data"
FRAMES = [0, 133, 249]


@pytest.fixture(scope="module")
def spec() -> ClipSpec:
    """What the command on the sample's page asks for."""
    line = next(line for line in (DATA / "README.md").read_text().splitlines() if line.startswith("vda synth"))
    asked: dict[str, Any] = synth.make_context("synth", shlex.split(line)[2:]).params
    width, height = asked["size"]
    return ClipSpec(
        asked["seed"], asked["frames"], width, height, asked["fps"], asked["style"], asked["motion"], asked["sins"]
    )


@pytest.fixture(scope="module")
def rendered(spec: ClipSpec) -> list[RenderedFrame]:
    return list(render_frames(spec.world(), FRAMES, spec.width, spec.height, fps=spec.fps, samples=2, batch=1))


def test_the_sample_is_a_small_video_of_a_few_hundred_frames_with_its_licence(spec: ClipSpec) -> None:
    info = probe(DATA / "sample.mp4")
    assert (info.width, info.height) == (spec.width, spec.height) == (640, 360)
    assert len(index_frames(info)) == spec.frames == 250
    assert sum(path.stat().st_size for path in DATA.iterdir() if path.is_file()) < 4_000_000
    assert "CC0" in (DATA / "README.md").read_text()


def test_the_command_makes_the_pictures_of_the_sample_again(rendered: list[RenderedFrame]) -> None:
    info = probe(DATA / "sample.mp4")
    for shown, made in zip(read_frame_list(info, index_frames(info), FRAMES), rendered, strict=True):
        error = np.mean((shown.rgb.astype(float) - made.rgb) ** 2)
        assert 10 * np.log10(255**2 / error) > 30


def test_the_command_makes_the_tracks_of_the_sample_again(spec: ClipSpec, rendered: list[RenderedFrame]) -> None:
    world = spec.world()
    times = [index / spec.fps for index in range(spec.frames)]
    tracker = Tracker(world, world.intrinsics(spec.width, spec.height), times)
    kept = json.loads((DATA / "sample_tracks.json").read_text())
    for old, new in zip(kept["metadata"]["objects"], tracker.objects(), strict=True):
        assert old == new | {"height_m": pytest.approx(new["height_m"])}
    for frame in rendered:
        wanted = [record for record in kept["tracks"] if record["frame"] == f"frame_{frame.index:05d}"]
        made = tracker.records(frame)
        assert len(made) == len(wanted) > 3
        for new, old in zip(made, wanted, strict=True):
            assert (new["track_id"], new["detected"]) == (old["track_id"], old["detected"])
            if new["detected"]:
                assert new["bbox"] == pytest.approx(old["bbox"], abs=1)
                assert new["position_3d"] == pytest.approx(old["position_3d"], rel=1e-3)


def test_people_in_the_sample_are_as_tall_as_its_page_says() -> None:
    kept = json.loads((DATA / "sample_tracks.json").read_text())
    heights = [thing["height_m"] for thing in kept["metadata"]["objects"] if thing["class"] == "person"]
    assert len(heights) >= 2
    assert f"--known-size {heights[0]:.3f},person" in (DATA / "README.md").read_text()
    assert heights == pytest.approx([heights[0]] * len(heights))


def test_the_tracks_are_read_with_their_own_camera(spec: ClipSpec) -> None:
    tracks = read_tracks(DATA / "sample_tracks.json")
    assert tracks.intrinsics(640, 360) == spec.world().intrinsics(640, 360)
    assert 0 == tracks.frame.min() < tracks.frame.max() == 249
