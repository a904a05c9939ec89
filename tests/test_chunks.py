"""The plan: every frame kept exactly once, whatever is asked, and the file that other programs read."""

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.errors import InputError, SceneError, UsageError, VideoError
from vda.scene.chunks import Plan, plan_independent, plan_linked
from vda.scene.planfile import plan_metadata, read_plan

VIDEO_INFO = {"input_path": "film.mp4", "fps": 30.0, "width": 848, "height": 478, "duration_seconds": 218.4}


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """A length, a number of chunks, and perhaps a range of frames and cuts."""
    total = draw(st.integers(1, 2000))
    asked: dict[str, Any] = {"total_frames": total, "chunks": draw(st.integers(1, 60))}
    if draw(st.booleans()):
        first = draw(st.integers(0, total - 1))
        asked["frame_range"] = (first, draw(st.integers(first + 1, total)))
    if draw(st.booleans()):
        cuts = draw(st.sets(st.integers(1, total), max_size=8)) - {total}
        edges = [0, *sorted(cuts), total]
        asked["shots"] = list(pairwise(edges))
    return asked


def hold_a_plan_against_its_promises(plan: Plan, asked: dict[str, Any]) -> None:
    first, stop = asked.get("frame_range") or (0, asked["total_frames"])
    kept = [frame for chunk in plan.chunks for frame in range(chunk.keep_start, chunk.keep_stop)]
    assert kept == list(range(first, stop))
    assert all(chunk.keep_start < chunk.keep_stop for chunk in plan.chunks)
    assert len(plan.chunks) <= max(asked["chunks"], len(plan.shots))
    cuts = {start for start, _ in asked.get("shots") or []}
    for chunk in plan.chunks:
        needed = {frame for window in chunk.windows() for frame in window.frame_indices}
        assert needed - {chunk.sequence.start} <= set(range(chunk.start, chunk.stop))
        assert {chunk.start, chunk.stop - 1} <= needed
        assert not cuts & set(range(chunk.sequence.start + 1, chunk.sequence.stop))
    finals = [frame for window in plan.windows() for frame in window.kept]
    sequences = [frame for seq in plan.sequences for frame in range(seq.start, seq.stop)]
    assert finals == sequences
    assert read_plan(json.loads(json.dumps(plan_metadata(plan, VIDEO_INFO)))) == plan


@settings(deadline=None)
@given(questions())
def test_linked_chunks_keep_every_frame_once_and_read_what_they_need(asked: dict[str, Any]) -> None:
    plan = plan_linked(**asked)
    hold_a_plan_against_its_promises(plan, asked)
    windows = [window for chunk in plan_linked(**{**asked, "chunks": 1}).chunks for window in chunk.windows()]
    assert list(plan.windows()) == windows


@settings(deadline=None)
@given(questions(), st.integers(0, 80))
def test_independent_chunks_keep_every_frame_once_and_share_their_overlap(
    asked: dict[str, Any], overlap: int
) -> None:
    plan = plan_independent(**asked, overlap=overlap)
    hold_a_plan_against_its_promises(plan, asked)
    assert plan.overlap <= overlap
    joints = [shared.stop - shared.start for shared in plan.overlaps()]
    assert all(1 <= joint <= plan.overlap for joint in joints)
    assert len(joints) == (len(plan.chunks) - len(plan.shots) if overlap else 0)
    seen = Counter(frame for chunk in plan.chunks for frame in range(chunk.start, chunk.stop))
    assert max(seen.values()) <= 2


def test_five_chunks_of_a_long_video_with_overlap_32() -> None:
    """6,553 frames and four joints of 32 make 6,681 frames of work: four chunks of 1,336 and one of 1,337."""
    plan = plan_independent(6553, 5, 32)
    assert [(chunk.start, chunk.stop) for chunk in plan.chunks] == [
        (0, 1336),
        (1304, 2640),
        (2608, 3944),
        (3912, 5248),
        (5216, 6553),
    ]
    assert [(chunk.keep_start, chunk.keep_stop) for chunk in plan.chunks] == [
        (0, 1320),
        (1320, 2624),
        (2624, 3928),
        (3928, 5232),
        (5232, 6553),
    ]


def test_two_linked_chunks_of_a_short_video() -> None:
    """70 frames have ceil(67 / 22) = 4 windows; the second chunk begins with slot 1 of window 2, frame 34."""
    first, second = plan_linked(70, 2).chunks
    assert (first.start, first.stop, first.keep_start, first.keep_stop) == (0, 54, 0, 47)
    assert (second.start, second.stop, second.keep_start, second.keep_stop) == (34, 70, 47, 70)


def test_the_file_has_the_names_that_scripts_read() -> None:
    metadata = plan_metadata(plan_independent(6553, 5, 32), VIDEO_INFO, ["cuda:0", "cuda:1"])
    assert metadata["video_info"] == {**VIDEO_INFO, "total_frames": 6553}
    assert (metadata["num_chunks"], metadata["overlap_frames"]) == (5, 32)
    promised = {
        "chunk_id": 1,
        "global_start_frame": 1304,
        "global_end_frame": 2640,
        "num_frames": 1336,
        "keep_start_local": 16,
        "keep_end_local": 1320,
        "gpu_assignment": "cuda:1",
    }
    assert promised.items() <= metadata["chunks"][1].items()
    assert [chunk["gpu_assignment"] for chunk in metadata["chunks"]] == ["cuda:0", "cuda:1"] * 2 + ["cuda:0"]


def test_a_range_keeps_the_videos_frame_indices_and_has_its_own_anchor() -> None:
    plan = plan_linked(6553, 2, frame_range=(1000, 1100))
    assert plan.total_frames == 6553
    assert {window.frame_indices[0] for window in plan.windows()} == {1000}
    assert (plan.chunks[0].keep_start, plan.chunks[-1].keep_stop) == (1000, 1100)


def test_chunks_go_to_the_longest_shots() -> None:
    plan = plan_linked(1000, 6, shots=[(0, 100), (100, 900), (900, 1000)])
    assert [chunk.sequence.shot for chunk in plan.chunks] == [0, 1, 1, 1, 1, 2]
    assert plan.shots == ((0, 100), (100, 900), (900, 1000))


def test_more_chunks_than_make_sense_are_as_many_as_do() -> None:
    assert len(plan_linked(70, 100).chunks) == 4
    assert len(plan_independent(10, 100, 0).chunks) == 10
    assert len(plan_independent(10, 100, 32).chunks) == 9


@pytest.mark.parametrize(
    "asked",
    [
        {"total_frames": 10, "chunks": 0},
        {"total_frames": 10, "chunks": 1, "frame_range": (5, 5)},
        {"total_frames": 10, "chunks": 1, "frame_range": (5, 11)},
        {"total_frames": 10, "chunks": 1, "frame_range": (-1, 5)},
        {"total_frames": 10, "chunks": 1, "shots": [(0, 4), (5, 10)]},
        {"total_frames": 10, "chunks": 1, "shots": [(0, 6), (5, 10)]},
        {"total_frames": 10, "chunks": 1, "shots": [(5, 10), (0, 5)]},
        {"total_frames": 10, "chunks": 1, "shots": [(0, 5)]},
        {"total_frames": 10, "chunks": 1, "shots": [(0, 5), (5, 5), (5, 10)]},
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan_linked(**asked)


def test_a_video_without_frames_and_a_negative_overlap_are_refused() -> None:
    with pytest.raises(VideoError):
        plan_linked(0, 1)
    with pytest.raises(UsageError):
        plan_independent(10, 2, -1)


def test_a_classic_file_that_kept_its_overlaps_twice_is_mended() -> None:
    """The script of old kept whole chunks, and so made 6,681 frames of 6,553."""
    planned = plan_independent(6553, 5, 32)
    classic = {
        "video_info": {**VIDEO_INFO, "total_frames": 6553},
        "num_chunks": 5,
        "overlap_frames": 32,
        "chunks": [
            {
                "chunk_id": chunk.index,
                "global_start_frame": chunk.start,
                "global_end_frame": chunk.stop,
                "num_frames": chunk.stop - chunk.start,
                "keep_start_local": 0,
                "keep_end_local": chunk.stop - chunk.start,
                "gpu_assignment": chunk.index,
            }
            for chunk in planned.chunks
        ],
    }
    assert read_plan(classic) == planned


def spoil(metadata: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """Return ``metadata`` with one value in it replaced."""
    spoilt = json.loads(json.dumps(metadata))
    inner = spoilt
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return spoilt


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("chunks", 1, "keep_start_local"), 11),
        (("chunks", 1, "window_start"), 1),
        (("chunks", 1, "global_end_frame"), 80),
        (("chunks", 1, "chunk_id"), 0),
        (("sequences", 0, "end_frame"), 71),
        (("frame_range",), [0, 71]),
        (("chunks",), []),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(SceneError):
        read_plan(spoil(plan_metadata(plan_linked(70, 2), VIDEO_INFO), *path, value=value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("chunking",), "woven"),
        (("chunks", 0, "keep_start_local"), "0"),
        (("chunks", 0, "keep_start_local"), True),
        (("chunks", 0, "sequence"), 7),
        (("sequences",), None),
        (("video_info",), {}),
        (("frame_range",), [0]),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(InputError):
        read_plan(spoil(plan_metadata(plan_linked(70, 2), VIDEO_INFO), *path, value=value))


def test_an_empty_classic_file_is_refused() -> None:
    with pytest.raises(InputError):
        read_plan({"video_info": {"total_frames": 10}, "chunks": []})


def test_a_classic_file_with_a_gap_is_refused() -> None:
    gap = [{"global_start_frame": 0, "global_end_frame": 4}, {"global_start_frame": 6, "global_end_frame": 10}]
    with pytest.raises(SceneError):
        read_plan({"video_info": {"total_frames": 10}, "chunks": gap})


@pytest.mark.parametrize(
    ("frame_range", "words"),
    [(None, "6553 frames"), ((0, 6553), "6553 frames"), ((1000, 1100), "100 of 6553 frames (1000 to 1099)")],
)
def test_frames_that_are_used_are_counted_and_not_the_films(
    frame_range: tuple[int, int] | None, words: str
) -> None:
    assert plan_linked(6553, 2, frame_range=frame_range).count_words() == words
