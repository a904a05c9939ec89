"""Videos thinned out by ``--stride`` and ``--fps``: the frames used, their names and times, who knows of it."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import make_clip
from depth_runs import depth_digest, make_weights, run_keywords
from hypothesis import given, settings
from hypothesis import strategies as st

from vda import depth, enrich, export, open_depth, open_scene, plan
from vda.errors import InputError, SceneError, UsageError
from vda.scene.chunks import plan_independent, plan_linked
from vda.scene.planfile import plan_metadata, read_plan
from vda.scene.selection import FrameSelection, Thinning

FRAMES = 95
STRIDE = 3
USED = list(range(10, FRAMES, STRIDE))


@pytest.mark.parametrize(
    ("times_s", "fps", "expected"),
    [
        # 25 a second at ticks of 0.1 s: 2.5 frames, of two as near the earlier.
        (np.arange(14) / 25, 10, [0, 2, 5, 7, 10, 12]),
        (np.arange(10) / 25, 25, list(range(10))),
        (np.arange(10) / 25, 60, list(range(10))),
        # Half a second without a frame, then a burst.
        (np.array([0, 0.1, 0.2, 0.7, 0.72, 0.74, 0.8]), 10, [0, 1, 2, 3, 6]),
        # A recording that begins at 100 s.
        (np.array([100, 100.5, 100.6, 101, 101.5, 102]), 1, [0, 3, 5]),
        (np.array([7.0]), 5, [0]),
    ],
)
def test_a_rate_takes_the_frames_nearest_to_its_ticks(
    times_s: np.ndarray, fps: float, expected: list[int]
) -> None:
    picked = Thinning(fps=fps).pick(times_s, 0)
    assert list(picked.frames) == expected
    assert list(Thinning(fps=fps).pick(times_s, 40).frames) == [40 + frame for frame in expected]


@pytest.mark.parametrize("asked", [{"stride": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"stride": 2, "fps": 5.0}])
def test_what_makes_no_sense_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Thinning(**asked)


def test_a_film_is_thinned_in_one_way(tmp_path: Path) -> None:
    video = make_clip(tmp_path / "film.mp4", range(6))
    with pytest.raises(UsageError, match="not both"):
        plan(video, tmp_path / "scene", stride=2, fps=5.0)
    assert not (tmp_path / "scene").exists()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 50), st.integers(1, 400), st.integers(2, 9), st.integers(1, 6), st.booleans())
def test_a_thinned_plan_keeps_each_frame_once_and_is_read_back(
    first: int, length: int, stride: int, chunks: int, linked: bool
) -> None:
    stop = first + length
    selection = Thinning(stride=stride).pick(np.arange(length, dtype=np.float64), first)
    used = len(selection.frames)
    made = plan_linked(used, chunks) if linked else plan_independent(used, chunks, 8)
    thinned = made.thinned(stop + 3, (first, stop), selection)
    metadata = json.loads(json.dumps(plan_metadata(thinned, {"fps": 25.0})))
    assert read_plan(metadata) == thinned
    assert metadata["video_info"]["total_frames"] == stop + 3
    kept = []
    for chunk in metadata["chunks"]:
        frames = [
            f for f in range(chunk["global_start_frame"], chunk["global_end_frame"]) if (f - first) % stride == 0
        ]
        assert len(frames) == chunk["num_frames"]
        kept += frames[chunk["keep_start_local"] : chunk["keep_end_local"]]
    assert kept == list(range(first, stop, stride))


def test_a_selection_that_is_not_the_ranges_is_refused() -> None:
    thinned = plan_linked(3, 1).thinned(9, (0, 9), FrameSelection(Thinning(stride=3), (0, 3, 6)))
    for frames in ([1, 3, 6], [0, 6, 3], [0, 3, 9], [0, 3, 3]):
        metadata = plan_metadata(thinned, {})
        metadata["selection"]["frames"] = frames
        with pytest.raises(SceneError):
            read_plan(metadata)
    empty: dict[str, Any] = {"stride": 3, "fps": None, "frames": []}
    for broken in (empty, {**empty, "stride": -1, "frames": [0]}, [1], {}):
        with pytest.raises(InputError):
            read_plan({**plan_metadata(thinned, {}), "selection": broken})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless film, one of every third of its frames alone, and weights."""
    folder = tmp_path_factory.mktemp("thinned")
    make_weights(folder / "mini.safetensors")
    make_clip(folder / "film.mkv", range(FRAMES), codec="ffv1", pix_fmt="bgr0")
    make_clip(folder / "third.mkv", USED, codec="ffv1", pix_fmt="bgr0")
    return folder


def run(folder: Path, video: str, scene: str, **more: Any) -> Path:
    depth(folder / video, folder / scene, **run_keywords(folder / "mini.safetensors"), **more)
    return folder / scene


@pytest.fixture(scope="module")
def thinned(folder: Path) -> Path:
    return run(folder, "film.mkv", "thinned", stride=STRIDE, frames=(10, FRAMES), format=["png16", "npz", "mkv"])


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    return run(folder, "third.mkv", "alone", create_video=False)


def test_the_depth_is_that_of_a_film_of_these_frames_alone(thinned: Path, alone: Path) -> None:
    expected = dict(zip([f"depth_{frame:06d}.png" for frame in USED], depth_digest(alone).values(), strict=True))
    assert depth_digest(thinned) == expected


def test_chunks_change_no_byte(folder: Path, thinned: Path) -> None:
    again = run(folder, "film.mkv", "two", stride=3, frames=(10, FRAMES), chunks=2, create_video=False)
    assert depth_digest(again) == depth_digest(thinned)


def test_the_visualization_shows_each_frame_when_the_video_does(thinned: Path) -> None:
    with av.open(str(thinned / "vda_merged_depth" / "depth_visualization.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
        stream = container.streams.video[0]
        assert stream.duration and stream.time_base
        lasts = stream.duration * stream.time_base
    assert times[0] is not None
    assert np.allclose(np.diff(np.array(times, float)), STRIDE / 25, atol=1e-3) and len(times) == len(USED)
    assert float(lasts) == pytest.approx(len(USED) * STRIDE / 25, abs=1e-3)


def test_the_record_and_every_reader_know_which_frames_there_are(thinned: Path) -> None:
    merged = thinned / "vda_merged_depth"
    record = json.loads((merged / "depth.json").read_text())
    assert (record["frames"], record["thinning"]) == (len(USED), {"stride": STRIDE, "fps": None})
    assert record["frame_indices"] == USED and record["settings"]["frame_range"] == [10, FRAMES]
    assert [(shot["start_frame"], shot["end_frame"]) for shot in record["shots"]] == [(10, FRAMES)]
    images = open_depth(thinned)
    assert images.times is not None and np.allclose(images.times, np.array(USED) / 25)
    for stored in ("depths.npz", "depth.mkv"):
        with open_depth(merged / stored) as opened:
            assert list(opened.frames) == USED
            assert np.allclose(opened.frame(40), images.frame(40), atol=record["scale"])
    with pytest.raises(InputError, match="only some of the video's frames"):
        images.frame(41)


def test_status_and_report_count_the_frames_used(thinned: Path) -> None:
    state = open_scene(thinned).status
    assert (state["state"], state["frames_total"], state["frames_done"]) == ("merged", len(USED), len(USED))
    page = (thinned / "report.html").read_text()
    assert f"one frame in {STRIDE} of the video&#x27;s {FRAMES - 10}" in page and "frame 94" in page


def test_tracks_of_frames_left_out_have_no_depth(thinned: Path, tmp_path: Path) -> None:
    lines = [f"{frame + 1},1,20,10,20,20,0.9,-1,-1,-1\n" for frame in range(10, 40)]
    (tmp_path / "tracks.txt").write_text("".join(lines))
    report = enrich(
        thinned, tracks=tmp_path / "tracks.txt", output=tmp_path / "out.json", fx=80, allow_relative=True
    )
    assert (report.records, report.enriched) == (30, 10)
    assert any("20 records are of frames that the depth leaves out" in said for said in report.said)


def test_an_export_has_the_videos_numbers(thinned: Path, tmp_path: Path) -> None:
    export(thinned, to="ply", output=tmp_path / "out", fx=80, allow_relative=True)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.ply"))
    assert names == [f"cloud_{frame:06d}.ply" for frame in USED]


def test_another_selection_of_the_same_scene_is_refused(folder: Path, thinned: Path) -> None:
    with pytest.raises(SceneError, match="one frame in 3"):
        plan(folder / "film.mkv", thinned, stride=4, devices="cpu")


def test_clips_of_chunks_have_their_frames_alone(folder: Path, tmp_path: Path) -> None:
    options = {"chunks": 2, "overlap": 4, "extract": True, "devices": "cpu"}
    plan(folder / "film.mkv", tmp_path / "scene", fps=5, **options)  # type: ignore[arg-type]
    planned = json.loads((tmp_path / "scene" / "vda_chunks" / "chunks_metadata.json").read_text())
    assert planned["selection"]["frames"] == list(range(0, FRAMES, 5))
    for chunk in planned["chunks"]:
        with av.open(str(tmp_path / "scene" / "vda_video_chunks" / f"chunk_{chunk['chunk_id']:02d}.mp4")) as clip:
            times = [frame.time for frame in clip.decode(video=0)]
        assert len(times) == chunk["num_frames"] and np.allclose(np.diff(np.array(times, float)), 0.2, atol=1e-3)
