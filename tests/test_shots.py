"""Shots as sequences of their own: cuts found to the frame, listed, changed and given back, and never crossed."""

import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
from clips import make_clip
from depth_runs import depth_digest, make_weights, run_keywords
from scenedetect import FrameTimecode
from scenedetect.output import write_scene_list

import vda.scene.scene
from vda import depth, enrich, merge, open_scene, plan
from vda import run as compute_windows
from vda.api.todepth import depth as compute
from vda.errors import InputError, SceneError, UsageError
from vda.merging.settings import MergeSettings
from vda.reporter import Silence
from vda.scene.scene import Scene
from vda.splitting.cuts import CutFinder, find_cuts
from vda.splitting.settings import PlanSettings
from vda.splitting.shotlist import read_shot_list
from vda.splitting.stage import split
from vda.supervisor.resolve import RunSettings
from vda.video import index_frames, probe

# Of one frame, of fewer than a window has, and of two windows.
EDGES = [0, 7, 8, 48, 60]
CUTS = EDGES[1:-1]


def scenery(shot: int, frame: int) -> np.ndarray:
    """RGB uint8 [48, 80, 3]: blotches of one shot, that move by a pixel a frame."""
    coarse = np.random.default_rng(shot).integers(20, 236, (6, 24, 3)).astype(np.uint8)
    return np.ascontiguousarray(cv2.resize(coarse, (240, 48))[:, frame : frame + 80])


def film(lengths: Sequence[int]) -> list[np.ndarray]:
    return [scenery(shot, frame) for shot, length in enumerate(lengths) for frame in range(length)]


def write(path: Path, pictures: list[np.ndarray], **how: object) -> Path:
    return make_clip(path, range(len(pictures)), draw=pictures.__getitem__, **how)  # type: ignore[arg-type]


def found_in(pictures: list[np.ndarray], fps: int = 25) -> list[int]:
    finder = CutFinder(Fraction(fps))
    return [cut for rgb in pictures for cut in finder.see(rgb)] + list(finder.finish())


def test_cuts_are_found_to_the_frame_whatever_the_rate(tmp_path: Path) -> None:
    lengths = [12, 30, 5, 21, 9]
    cuts = np.cumsum(lengths)[:-1].tolist()
    pts = np.cumsum(np.random.default_rng(3).integers(10, 120, sum(lengths))).tolist()
    steady = write(tmp_path / "steady.mp4", film(lengths))
    varying = write(tmp_path / "varying.mp4", film(lengths), pts=pts, time_base=Fraction(1, 1000))
    for path in (steady, varying):
        info = probe(path)
        index = index_frames(info)
        assert find_cuts(info, index, (0, len(index)), Silence()) == cuts
        assert find_cuts(info, index, (12, 60), Silence()) == [42, 47]


def test_the_first_and_the_last_frames_may_be_shots() -> None:
    assert found_in(film([6, 20, 6])) == [6, 26]
    assert found_in(film([1, 20, 1])) == [1, 21]
    assert found_in(film([1])) == found_in(film([9])) == found_in([]) == []


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("brightness", [255, -255, 110])
def test_a_flash_is_no_cut(frames: int, brightness: int) -> None:
    pictures = film([30])
    for frame in range(14, 14 + frames):
        pictures[frame] = np.clip(pictures[frame].astype(int) + brightness, 0, 255).astype(np.uint8)
    assert found_in(pictures) == []


@pytest.mark.parametrize("steps", [8, 20])
def test_fades_and_dissolves_are_no_cuts(steps: int) -> None:
    shares = [step / steps for step in range(1, steps)]
    before, after = film([40]), [scenery(1, frame) for frame in range(40)]
    out = [(before[20 + i] * (1 - share)).astype(np.uint8) for i, share in enumerate(shares)]
    into = [(after[i] * share).astype(np.uint8) for i, share in enumerate(shares)]
    black = [np.zeros((48, 80, 3), np.uint8)] * 5
    assert found_in([*before[:20], *out, *black, *into, *after[steps - 1 :]]) == []
    mixed = [(before[20 + i] * (1 - share) + after[i] * share).astype(np.uint8) for i, share in enumerate(shares)]
    assert found_in([*before[:20], *mixed, *after[steps - 1 :]]) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless film of four shots, each shot as a film of its own, weights, and a list of the shots."""
    folder = tmp_path_factory.mktemp("shots")
    make_weights(folder / "mini.safetensors")
    pictures = film([stop - start for start, stop in pairwise(EDGES)])
    for name, (start, stop) in {"film": (0, EDGES[-1]), **_shot_names()}.items():
        write(folder / f"{name}.mkv", pictures[start:stop], codec="ffv1", pix_fmt="bgr0")
    (folder / "list.csv").write_text("start_frame\n" + "".join(f"{cut}\n" for cut in EDGES[:-1]))
    return folder


def _shot_names() -> dict[str, tuple[int, int]]:
    return {f"shot{number}": edges for number, edges in enumerate(pairwise(EDGES))}


def run(folder: Path, name: str, scene: str, **more: Any) -> Path:
    options = run_keywords(folder / "mini.safetensors")
    depth(folder / f"{name}.mkv", folder / scene, **options, format=["png16", "npz"], create_video=False, **more)
    return folder / scene


def depths(scene: Path) -> np.ndarray:
    with np.load(scene / "vda_merged_depth" / "depths.npz") as archive:
        return np.array(archive["depths"])


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return run(folder, "film", "whole", shots=folder / "list.csv", chunks=1)


def test_each_shot_is_as_if_there_were_no_others(folder: Path, whole: Path) -> None:
    together = depths(whole)
    for name, (start, stop) in _shot_names().items():
        assert np.array_equal(together[start:stop], depths(run(folder, name, name))), name


def test_any_number_of_chunks_gives_the_same_bytes(folder: Path, whole: Path) -> None:
    plan = Scene(whole).plan()
    assert [(chunk.keep_start, chunk.keep_stop) for chunk in plan.chunks] == list(pairwise(EDGES))
    more = run(folder, "film", "more", shots=folder / "list.csv", chunks=9)
    # Four shots, of which one has two windows: no more chunks than windows.
    assert len(Scene(more).plan().chunks) == 5
    assert depth_digest(more) == depth_digest(whole)


def test_record_status_and_report_know_the_shots(whole: Path) -> None:
    record = json.loads((whole / "vda_merged_depth" / "depth.json").read_text())
    assert [(shot["start_frame"], shot["end_frame"]) for shot in record["shots"]] == list(pairwise(EDGES))
    # One range for the film: its ends are the least and the greatest value of all shots.
    values = depths(whole)
    assert record["offset"] + record["scale"] <= values.min() + 1e-6
    assert record["offset"] + 65535 * record["scale"] >= values.max() - 1e-6
    assert open_scene(whole).status["shots"] == 4
    assert "4, each with a scale of its own, listed in shots.csv" in (whole / "report.html").read_text()


def test_nothing_is_measured_across_a_cut(whole: Path) -> None:
    plan = Scene(whole).plan()
    assert not {(cut - 1, cut) for cut in CUTS} & set(plan.neighbours())
    assert len(plan.neighbours()) == EDGES[-1] - 1 - len(CUTS)


def test_one_calibration_for_several_scales_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="4 shots, each with a scale of its own"):
        merge(whole, overwrite=True, depth_scale=1000, metres=(1.0, 0.0))
    (tmp_path / "tracks.txt").write_text("10,1,20,10,20,20,0.9,-1,-1,-1\n")
    tracks, out = tmp_path / "tracks.txt", tmp_path / "out.json"
    with pytest.raises(UsageError, match="4 shots, each with a scale of its own"):
        enrich(whole, tracks=tracks, output=out, fx=80, scale=1.0)
    enrich(whole, tracks=tracks, output=out, fx=80, allow_relative=True)


def plan_of(video: Path, scene: Path, **how: object) -> list[tuple[int, int]]:
    """The shots, in the video's frames, as the plan has them."""
    plan = split(video, Scene(scene), PlanSettings(**how))  # type: ignore[arg-type]
    return [(plan.edge(start), plan.edge(stop)) for start, stop in plan.shots]


def test_found_shots_are_listed_with_pictures_and_can_be_given_back_changed(folder: Path, tmp_path: Path) -> None:
    video, scene = write(tmp_path / "film.mp4", film([12, 30, 20])), tmp_path / "scene"
    assert plan_of(video, scene, shots=Path("auto")) == [(0, 12), (12, 42), (42, 62)]
    rows = [line.split(",") for line in (scene / "shots.csv").read_text().splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        ["0", "0", "12", "0.000"],
        ["1", "12", "42", "0.480"],
        ["2", "42", "62", "1.680"],
    ]
    page = (scene / "shots.html").read_text()
    assert page.count("data:image/jpeg") == 8
    assert all(f"<figcaption>{frame} at" in page for frame in (10, 11, 12, 13, 40, 41, 42, 43))
    assert page.count('<figure class="first">') == 2
    # Asked again, nothing is looked for; a list that was changed is another plan.
    assert plan_of(video, scene, shots=Path("auto"), chunks=None) == [(0, 12), (12, 42), (42, 62)]
    changed = tmp_path / "changed.csv"
    changed.write_text("\n".join(",".join(row) for row in [*rows[:2], rows[3]]))
    with pytest.raises(SceneError, match="shots: 3"):
        plan_of(video, scene, shots=changed)
    plan = split(video, Scene(scene), PlanSettings(shots=changed), restart=True)
    assert plan.shots == ((0, 42), (42, 62))
    split(video, Scene(scene), PlanSettings(), restart=True)
    assert not (scene / "shots.csv").exists() and not (scene / "shots.html").exists()


def test_pyscenedetects_own_list_is_read(tmp_path: Path) -> None:
    times = [FrameTimecode(edge, 25.0) for edge in EDGES]
    for above in (True, False):
        write_scene_list(str(tmp_path / "scenes.csv"), list(pairwise(times)), include_cut_list=above)
        assert read_shot_list(tmp_path / "scenes.csv", range(EDGES[-1])) == EDGES[:-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column"),
        ("start_frame\n", "lists no shots"),
        ("start_frame\n0\n12\n12\n", "Line 4 .* not behind frame 12"),
        ("start_frame\n0\n60\n", "Line 3 .* frame 60, which the video does not have"),
        ("start_frame\n-1\n", "Line 2"),
        ("shot,start_frame\n0,0\n1\n", "Line 3 .* says no frame"),
        ("start_frame\nsoon\n", "Line 2 .* says no frame"),
        ("0\n12\n", "no column"),
    ],
)
def test_what_is_no_list_of_shots_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_shot_list(path, range(60))


def test_lists_of_spreadsheets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("\ufeffshot;Start_Frame\r\n0;0\r\n1;12\r\n;\r\n".encode())
    assert read_shot_list(path, range(60)) == [0, 12]


def test_ranges_and_thinning_keep_the_cuts(folder: Path, tmp_path: Path) -> None:
    film, listed = folder / "film.mkv", folder / "list.csv"
    assert plan_of(film, tmp_path / "a", shots=listed, frames=(5, 50)) == [(5, 7), (7, 8), (8, 48), (48, 50)]
    # Of every fifth frame, 0 5 | | 10 ... 45 | 50 55: the shot of frame 7 alone has none.
    assert plan_of(film, tmp_path / "b", shots=listed, stride=5) == [(0, 10), (10, 50), (50, 60)]
    assert plan_of(film, tmp_path / "c", shots=listed, chunking="independent", chunks=6, overlap=8) == list(
        pairwise(EDGES)
    )


def test_a_shot_of_other_programs_depth_takes_nothing_from_the_next(folder: Path, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene")
    plan = split(
        folder / "film.mkv",
        scene,
        PlanSettings(shots=folder / "list.csv", chunking="independent", chunks=5, overlap=8),
    )
    scene.depths_dir.mkdir()
    rng = np.random.default_rng(0)
    made = {}
    for chunk in plan.chunks:
        made[chunk.index] = rng.uniform(1, 2, (chunk.stop - chunk.start, 48, 80)).astype(np.float32)
        np.savez(scene.depths_dir / f"chunk_{chunk.index:02d}_depths.npz", depths=made[chunk.index])
    merge(scene.root, format="npz")
    with np.load(scene.merged_dir / "depths.npz") as archive:
        merged = archive["depths"]
    alone = [chunk for chunk in plan.chunks if (chunk.start, chunk.stop) in list(pairwise(EDGES))]
    assert len(alone) == 3
    for chunk in alone:
        assert np.array_equal(merged[chunk.start : chunk.stop], made[chunk.index])


def test_a_list_that_is_not_there_and_a_list_of_many_films_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no list of shots"):
        PlanSettings(shots=tmp_path / "none.csv")
    planning = PlanSettings(shots=folder / "list.csv")
    with pytest.raises(UsageError, match="of one video"):
        compute(
            [folder / "shot0.mkv"] * 2, [tmp_path / "a", tmp_path / "b"], RunSettings(), MergeSettings(), planning
        )


@pytest.mark.parametrize("crop", ["off", "auto"])
def test_a_film_of_many_shots_is_merged_without_reading_its_plan_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: str
) -> None:
    keywords = run_keywords(make_weights(tmp_path / "w.safetensors"))
    reads = {}
    for shots in (2, 6):
        listed = tmp_path / f"{shots}.csv"
        listed.write_text("\n".join(["start_frame", *map(str, range(shots))]))
        scene = tmp_path / f"scene_{shots}"
        video = write(tmp_path / f"{shots}.mp4", film([1] * shots))
        compute_windows(plan(video, scene, shots=listed, crop=crop).root, **keywords)
        counted = mock.Mock(wraps=vda.scene.scene.read_plan)
        with monkeypatch.context() as watched:
            watched.setattr(vda.scene.scene, "read_plan", counted)
            merge(scene)
        reads[shots] = counted.call_count
    assert reads[2] == reads[6] > 0


def test_a_scene_that_was_planned_otherwise_is_refused_with_what_differs(folder: Path, tmp_path: Path) -> None:
    video, scene = folder / "film.mkv", tmp_path / "scene"
    listed, other = tmp_path / "cuts.csv", tmp_path / "other.csv"
    listed.write_text("start_frame\n0\n7\n")
    other.write_text("start_frame\n0\n9\n")
    plan_of(video, scene, shots=listed, stride=2)
    for asked, said in (
        ({"shots": Path("none"), "stride": 2}, r"shots: 2, and asked for now is .*shots: 1\."),
        ({"shots": Path("none")}, r"one frame in 2\), shots: 2, and asked for now is .*60, shots: 1\."),
        ({"shots": other, "stride": 2}, "with other cuts"),
        ({"shots": listed, "stride": 3}, r"one frame in 2\).* asked for now is .*one frame in 3\)"),
        (
            {"shots": listed, "stride": 2, "overlap": 4, "chunking": "independent"},
            "asked for now is .*independent",
        ),
        # What was listed is not taken for what the detector finds: cuts 7, 8 and 48.
        ({"shots": Path("auto"), "stride": 2}, "asked for now is"),
    ):
        with pytest.raises(SceneError, match=said):
            plan_of(video, scene, **asked)
    plan_of(video, scene)
    plan_of(video, scene, shots=listed, stride=2)
