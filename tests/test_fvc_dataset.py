"""``ScaledVideos``: the frames that were asked for, the same in every process, or a refusal at the start."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
import torch
from data_sets import data_set, rows_of, table
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import read_png16, write_png16
from vda.errors import InputError, UsageError
from vda.fvc import ClipChoice, ScaledVideos, collate_clips
from vda.fvc.clipreading import read_record
from vda.fvc.folds import write_folds
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale

WIDTH, HEIGHT, FRAMES, VIDEOS = 80, 48, 40, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos whose first pictures are numbered 0, 1, ...; scaling leaves them as they are."""
    place = tmp_path_factory.mktemp("set")
    metadata = data_set(place, VIDEOS, FRAMES)
    scale(metadata, place / "scaled", ScaleSettings(size=WIDTH, method="resize"))
    write_folds(place / "scaled" / "scaled_metadata.csv", place / "folds.csv", folds=3, alone=True)
    return place


def places_of(videos: ScaledVideos) -> list[list[int]]:
    return [videos[index]["places"].tolist() for index in range(len(videos))]


def numbers(item: dict) -> list[int]:
    return [clips.number_in(picture.permute(1, 2, 0).numpy()) for picture in item["video"]]


@pytest.mark.parametrize("choice", [ClipChoice(5), ClipChoice(5, stride=3), ClipChoice(4, random=True, seed=3)])
def test_a_clip_has_the_pictures_of_its_places(folder: Path, choice: ClipChoice) -> None:
    videos = ScaledVideos(folder / "scaled", choice)
    assert len(videos) == VIDEOS and videos.labels == ("fake", "real")
    for index in range(VIDEOS):
        item = videos[index]
        assert item["video"].dtype == torch.uint8
        assert item["video"].shape == (choice.frames, 3, HEIGHT, WIDTH)
        assert numbers(item) == [place + index for place in item["places"].tolist()]
        assert np.diff(item["places"]).tolist() == [choice.stride] * (choice.frames - 1)
        assert item["times_s"].tolist() == pytest.approx(item["places"].numpy() / 25, abs=1e-6)
        # The first video is real, the second fake, and so on.
        assert item["label"] == 1 - index % 2


def test_float_pictures_are_levels_of_255(folder: Path) -> None:
    whole, share = (ScaledVideos(folder / "scaled", as_float=kind)[0]["video"] for kind in (False, True))
    assert share.dtype == torch.float32
    assert torch.equal((share * 255).round().to(torch.uint8), whole)


def test_random_clips_follow_from_seed_epoch_and_index(folder: Path) -> None:
    choice = ClipChoice(4, random=True, seed=1)
    one, other = (ScaledVideos(folder / "scaled", choice) for _ in range(2))
    first = places_of(one)
    assert first == places_of(other)
    one.set_epoch(1)
    assert first != places_of(one)
    one.set_epoch(0)
    assert first == places_of(one)
    assert first != places_of(ScaledVideos(folder / "scaled", ClipChoice(4, random=True, seed=2)))


WITH_WORKERS = """
import sys
from pathlib import Path
import torch
from torch.utils.data import DataLoader
from vda.fvc.dataset import ClipChoice, ScaledVideos

videos = ScaledVideos(Path(sys.argv[1]), ClipChoice(4, random=True))
loader = DataLoader(
    videos, batch_size=2, num_workers=2, multiprocessing_context=sys.argv[2], persistent_workers=True, timeout=600
)
for epoch in (0, 1):
    videos.set_epoch(epoch)
    alone = torch.stack([videos[index]["video"] for index in range(len(videos))])
    assert len(alone) > 2 and torch.equal(torch.cat([batch["video"] for batch in loader]), alone)
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_what_one_process_gives_and_learn_of_epochs(folder: Path, start: str) -> None:
    """In a process of its own, as a training is: one that threads of other tests live in must not be forked."""
    subprocess.run([sys.executable, "-c", WITH_WORKERS, str(folder / "scaled"), start], check=True, timeout=1200)


def test_ranks_of_a_distributed_sampler_share_all_videos_out(folder: Path) -> None:
    videos = ScaledVideos(folder / "scaled", ClipChoice(2))
    seen = []
    for rank in range(2):
        sampler: DistributedSampler[Any] = DistributedSampler(videos, num_replicas=2, rank=rank)
        sampler.set_epoch(1)
        seen += [index for batch in DataLoader(videos, batch_size=1, sampler=sampler) for index in batch["index"]]
    assert sorted(seen) == list(range(VIDEOS))


def test_a_used_data_set_is_pickled_without_files(folder: Path) -> None:
    videos = ScaledVideos(folder / "scaled", ClipChoice(2))
    before = videos[3]["video"]
    again = pickle.loads(pickle.dumps(videos))
    assert torch.equal(again[3]["video"], before)


def test_files_that_are_gone_are_said_at_the_start(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder / "scaled", copy)
    ScaledVideos(copy)
    (copy / "video3_scaled_original.mp4").unlink()
    with pytest.raises(InputError, match=r"1 files .*video3_scaled_original\.mp4"):
        ScaledVideos(copy)
    table_elsewhere = shutil.copy(folder / "scaled" / "scaled_metadata.csv", tmp_path / "elsewhere.csv")
    with pytest.raises(InputError, match=f"{VIDEOS} files .* are not there"):
        ScaledVideos(table_elsewhere)


def test_held_out_videos_are_those_of_the_fold(folder: Path) -> None:
    fold_of = {row["video_path"]: row["fold"] for row in rows_of(folder / "folds.csv")}
    for fold in range(3):
        held_out = ScaledVideos(folder / "scaled", folds=folder / "folds.csv", only=[fold])
        rest = ScaledVideos(folder / "scaled", folds=folder / "folds.csv", without=[fold])
        assert {video.name for video in held_out.videos} == {
            name for name, of in fold_of.items() if of == str(fold)
        }
        assert {video.name for video in rest.videos} == fold_of.keys() - {video.name for video in held_out.videos}
        assert held_out.labels == rest.labels == ("fake", "real")


def test_folds_of_the_metadata_hold_for_what_was_scaled(folder: Path) -> None:
    write_folds(folder / "videos.csv", folder / "of_metadata.csv", folds=3, overwrite=True)
    fold_of = {row["video_path"]: row["fold"] for row in rows_of(folder / "of_metadata.csv")}
    videos = ScaledVideos(folder / "scaled", folds=folder / "of_metadata.csv")
    assert {video.columns["source_path"]: video.part for video in videos.videos} == fold_of


def test_parts_that_are_not_there_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="no fold or split 7; it has 0, 1, 2"):
        ScaledVideos(folder / "scaled", folds=folder / "folds.csv", only=[7])
    with pytest.raises(UsageError, match="it has none"):
        ScaledVideos(folder / "scaled", without=["test"])
    few = table(folder / "few.csv", rows_of(folder / "folds.csv")[1:])
    with pytest.raises(InputError, match="no fold for 1 of 6"):
        ScaledVideos(folder / "scaled", folds=few)


def test_a_video_that_is_too_short_ends_with_its_last_frame_and_says_so(folder: Path) -> None:
    item = ScaledVideos(folder / "scaled", ClipChoice(FRAMES + 3))[0]
    assert numbers(item) == [*range(FRAMES), *[FRAMES - 1] * 3]
    assert item["is_real"].tolist() == [True] * FRAMES + [False] * 3


def test_by_time_the_frames_nearest_to_the_ticks_are_taken(tmp_path: Path) -> None:
    # Milliseconds: a tenth of a second, then frames twice as far apart.
    times = [*range(0, 1000, 50), *range(1000, 3000, 100)]
    clips.make_clip(
        tmp_path / "a.mp4", range(len(times)), pts=times, time_base=clips.Fraction(1, 1000), fps=clips.Fraction(20)
    )
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "scaled", ScaleSettings(size=WIDTH, method="resize"))
    item = ScaledVideos(tmp_path / "scaled", ClipChoice(8, fps=5, random=True, seed=4))[0]
    shown = np.array(times)[numbers(item)] / 1000
    # Frames are at most 100 ms apart, so no tick is further than 50 ms from the nearest of them.
    ticks = shown[0] + np.arange(8) / 5
    assert np.abs(shown - ticks).max() <= 0.1
    assert item["times_s"].tolist() == pytest.approx(shown, abs=1e-3)


@given(
    steps=st.lists(st.floats(0.01, 1), min_size=1, max_size=50),
    frames=st.integers(1, 20),
    stride=st.integers(1, 4),
    fps=st.one_of(st.none(), st.floats(0.5, 60)),
    random=st.booleans(),
    epoch=st.integers(0, 5),
)
def test_places_rise_and_are_in_the_video(
    steps: list[float], frames: int, stride: int, fps: float | None, random: bool, epoch: int
) -> None:
    times = np.cumsum([0.0, *steps])
    choice = ClipChoice(frames, stride=1 if fps else stride, fps=fps, random=random)
    places, is_real = choice.places(times, epoch, 3)
    assert len(places) == len(is_real) == frames
    assert (np.diff(places) >= 0).all() and places[0] >= 0 and places[-1] < len(times)
    assert is_real[0] and (places[~is_real] == len(times) - 1).all()


@pytest.fixture
def with_depth(tmp_path: Path) -> Iterator[Path]:
    """Depth in millimetres that grows with the frame; a corner has none. Boxes move a pixel per frame."""
    clips.make_clip(tmp_path / "a.mp4", range(FRAMES))
    for frame in range(FRAMES):
        codes = np.full((HEIGHT, WIDTH), 1000 + 10 * frame, np.uint16)
        codes[:8, :8] = 0
        merged = tmp_path / "scene" / "vda_merged_depth"
        merged.mkdir(parents=True, exist_ok=True)
        write_png16(merged / f"depth_{frame:06d}.png", codes)
    DepthRecord(Quantizer.millimetres(), FRAMES, WIDTH, HEIGHT).write(merged / "depth.json")
    records = [
        {"frame": frame, "track_id": name, "bbox": [x + frame, 10, x + frame + 9, 30]}
        for frame in range(FRAMES)
        for name, x in ((7, 2), (9, 20))
    ]
    (tmp_path / "tracks.json").write_text(json.dumps({"tracks": records}))
    row = {"video_path": "a.mp4", "label": "1", "scene": "scene", "tracks": "tracks.json"}
    table(tmp_path / "videos.csv", [row])
    yield tmp_path


@pytest.mark.parametrize("form", ["mkv", "png"])
def test_depth_and_tracks_are_those_of_the_pictures(with_depth: Path, form: str) -> None:
    settings = ScaleSettings(size=WIDTH, method="resize", modality="both", depth_format=form)  # type: ignore[arg-type]
    scale(with_depth / "videos.csv", with_depth / "scaled", settings)
    choice = ClipChoice(5, stride=2, random=True, seed=2)
    item = ScaledVideos(with_depth / "scaled", choice, depth="metres", tracks=True)[0]
    places = numbers(item)
    assert item["depth"].dtype == torch.float32
    assert item["depth"][:, 20, 20].tolist() == pytest.approx([1 + place / 100 for place in places], abs=1e-6)
    assert item["depth"][:, 3, 3].isnan().all() and not item["depth_valid"][:, 3, 3].any()
    codes = ScaledVideos(with_depth / "scaled", choice, rgb=False, depth="codes")[0]
    assert codes["depth"][:, 20, 20].tolist() == [1000 + 10 * place for place in places]
    assert codes["depth"][:, 3, 3].tolist() == [0] * 5 and "video" not in codes
    tracks = item["tracks"]
    assert tracks["place"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert tracks["track"].tolist() == [0, 1] * 5
    assert tracks["box"][0::2, 0].tolist() == [2 + place for place in places]
    assert tracks["box"][1::2].tolist() == [[20 + place, 10, 29 + place, 30] for place in places]
    batch = collate_clips([item, item])
    assert batch["video"].shape[:2] == (2, 5) and len(batch["tracks"]) == 2


def test_depth_in_another_coding_is_the_same_depth_and_not_the_same_codes(with_depth: Path) -> None:
    """A second scene has the same metres in log codes."""
    first, second = (with_depth / name / "vda_merged_depth" for name in ("scene", "other"))
    second.mkdir(parents=True)
    quantizer = Quantizer.for_range(1, 1 + FRAMES / 100, "log", "depth")
    for path in first.glob("depth_*.png"):
        write_png16(second / path.name, quantizer.encode(Quantizer.millimetres().decode(read_png16(path))))
    DepthRecord(quantizer, FRAMES, WIDTH, HEIGHT).write(second / "depth.json")
    clips.make_clip(with_depth / "b.mp4", range(FRAMES))
    rows = [{"video_path": "a.mp4", "label": "1", "scene": "scene"}]
    rows.append({"video_path": "b.mp4", "label": "0", "scene": "other"})
    table(with_depth / "videos.csv", rows)
    scale(with_depth / "videos.csv", with_depth / "scaled", ScaleSettings(size=WIDTH, modality="depth"))
    with pytest.raises(InputError, match="linear and log codes"):
        ScaledVideos(with_depth / "scaled", rgb=False, depth="codes")
    videos = ScaledVideos(with_depth / "scaled", ClipChoice(5), rgb=False, depth="metres")
    metres = [videos[place]["depth"] for place in range(len(videos))]
    assert torch.equal(metres[0].isnan(), metres[1].isnan())
    assert torch.nan_to_num(metres[0] - metres[1]).abs().max() < 2e-5
    assert {read_record(video).quantizer.coding for video in videos.videos} == {"linear", "log"}


def test_relative_depth_is_no_depth_in_metres(with_depth: Path) -> None:
    record = DepthRecord(Quantizer.for_range(0, 1), FRAMES, WIDTH, HEIGHT)
    record.write(with_depth / "scene" / "vda_merged_depth" / "depth.json")
    scale(with_depth / "videos.csv", with_depth / "scaled", ScaleSettings(size=WIDTH, modality="depth"))
    with pytest.raises(InputError, match="no depth in metres"):
        ScaledVideos(with_depth / "scaled", rgb=False, depth="metres")
    with pytest.raises(InputError, match="no pictures"):
        ScaledVideos(with_depth / "scaled")
    item = ScaledVideos(with_depth / "scaled", ClipChoice(1), rgb=False, depth="values")[0]
    assert torch.nan_to_num(item["depth"]).max() < 1


def test_videos_of_several_sizes_make_no_batch(tmp_path: Path) -> None:
    for name, width in (("a", 80), ("b", 64)):
        clips.make_clip(tmp_path / f"{name}.mp4", draw=partial(clips.picture, width=width))
    metadata = table(tmp_path / "v.csv", [{"video_path": f"{name}.mp4", "label": "real"} for name in "ab"])
    scale(metadata, tmp_path / "scaled", ScaleSettings(size=WIDTH, method="resize"))
    with pytest.raises(InputError, match="2 sizes"):
        ScaledVideos(tmp_path / "scaled")


def test_the_room_is_light_until_a_data_set_is_asked_for() -> None:
    code = (
        "import sys, vda.fvc; print('torch' in sys.modules); vda.fvc.ScaledVideos; print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
