"""Track files of every format: what is read from them, and that they come out as they were with fields added."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vda.errors import InputError
from vda.tracks import Asked, Enriched, Skip, Tracks, read_tracks, recognise, write_table, write_tracks
from vda.tracks.jsonstream import stream

CLASSIC = {
    "metadata": {"video": "a.mp4", "fps": 25},
    "intrinsics": {"fx": 500.0, "fy": 510.0, "cx": 320.0, "cy": 240.0},
    "tracks": [
        {
            "frame": "frame_00007",
            "detected": True,
            "bbox": [10, 20, 30, 60],
            "contact_2d": [20.5, 60],
            "note": "ü",
        },
        {"frame": "frame_00008", "detected": False, "bbox": None, "contact_2d": None},
        {"frame": 9, "bbox": [1, 2, 3, 4], "extra": {"deep": [1, None, True]}},
    ],
    "tail": [1, 2],
}
COCO = {
    "categories": [{"id": 1, "name": "pedestrian"}],
    "videos": [{"id": 1, "name": "v", "fps": 30, "width": 640, "height": 480}],
    "annotations": [
        {
            "id": 5,
            "image_id": 12,
            "category_id": 1,
            "bbox": [10.5, 20.5, 30.0, 40.0],
            "instance_id": 3,
            "iscrowd": 0,
        },
        {"id": 6, "image_id": 11, "category_id": 1, "bbox": [1.5, 2.5, 3.0, 4.0], "instance_id": 4},
    ],
    "images": [
        {
            "id": 11,
            "video_id": 1,
            "file_name": "v/000001.jpg",
            "frame_id": 0,
            "mot_frame_id": 1,
            "width": 640,
            "height": 480,
        },
        {
            "id": 12,
            "video_id": 1,
            "file_name": "v/000002.jpg",
            "frame_id": 1,
            "mot_frame_id": 2,
            "width": 640,
            "height": 480,
        },
    ],
}
MOT = "1,3,101,201,50,80,0.9,-1,-1,-1\n2,3,103,201,50,80,0.8,-1,-1,-1\n2,-1,1,1,5,5,0.1,-1,-1,-1\n"
SINK_CSV = (
    "x_min,y_min,x_max,y_max,class_id,confidence,tracker_id,class_name,frame_index\n"
    '10.0,20.0,30.0,60.0,0,0.9,7,"person, young",0\n11.0,21.0,31.0,61.0,0,0.8,,dog,1\n'
)
SINK_JSON: list[dict[str, Any]] = [
    {
        "x_min": 10.0,
        "y_min": 20.0,
        "x_max": 30.0,
        "y_max": 60.0,
        "class_id": 0,
        "tracker_id": 7,
        "frame_number": 0,
    },
    {
        "x_min": 11.0,
        "y_min": 21.0,
        "x_max": 31.0,
        "y_max": 61.0,
        "class_id": 1,
        "tracker_id": "",
        "frame_number": 4,
    },
]
YOLO_FRAME = [
    {
        "name": "person",
        "class": 0,
        "confidence": 0.9,
        "box": {"x1": 10.5, "y1": 20.5, "x2": 30.5, "y2": 60.5},
        "track_id": 4,
    },
]


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def found(tracks: Tracks) -> Enriched:
    """An answer for every record that could have one: its depth is its row."""
    enriched = Enriched.empty(tracks.skip, relative=False)
    rows = np.flatnonzero(tracks.skip == Skip.NONE)
    enriched.depth[rows] = rows + 1.0
    enriched.spread[rows], enriched.share[rows] = 0.25, 1.0
    enriched.position[rows] = np.stack([rows, -rows, rows + 1.0], axis=1)
    return enriched


def test_the_classic_file(save: Callable[[str, Any], Path]) -> None:
    tracks = read_tracks(save("t.json", CLASSIC))
    assert tracks.format == "classic"
    assert tracks.frame.tolist() == [7, 8, 9]
    assert tracks.point[0].tolist() == [20.5, 60.0]
    assert tracks.box[2].tolist() == [1, 2, 3, 4]
    assert tracks.skip.tolist() == [Skip.NONE, Skip.UNDETECTED, Skip.NONE]
    camera = tracks.intrinsics(640, 480)
    assert camera is not None and (camera.fx, camera.width) == (500.0, 640)


def test_motchallenge_counts_frames_and_pixels_from_one(save: Callable[[str, Any], Path]) -> None:
    save("seq/seqinfo.ini", "[Sequence]\nname=x\nimWidth=1920\nimHeight=1080\nframeRate=14\n")
    tracks = read_tracks(save("seq/gt/gt.txt", MOT))
    assert tracks.format == "mot"
    assert tracks.frame.tolist() == [0, 1, 1]
    assert tracks.box[0].tolist() == [100, 200, 150, 280]
    assert [tracks.track_names[i] if i >= 0 else None for i in tracks.track] == [3, 3, None]
    assert (tracks.header.size, tracks.header.fps) == ((1920, 1080), 14.0)


def test_coco_video_takes_the_frame_of_the_image(save: Callable[[str, Any], Path]) -> None:
    tracks = read_tracks(save("ann.json", COCO))
    assert tracks.format == "coco"
    assert tracks.frame.tolist() == [1, 0]
    assert tracks.box[0].tolist() == [10, 20, 40, 60]
    assert (tracks.category_names, tracks.track_names) == (["pedestrian"], [3, 4])
    assert (tracks.header.size, tracks.header.fps) == ((640, 480), 30.0)


def test_coco_with_only_the_benchmarks_own_numbers_counts_from_one(save: Callable[[str, Any], Path]) -> None:
    images = [{key: value for key, value in image.items() if key != "frame_id"} for image in COCO["images"]]
    assert read_tracks(save("ann.json", {**COCO, "images": images})).frame.tolist() == [1, 0]


def test_coco_with_file_names_only_has_to_be_told_how_they_count(save: Callable[[str, Any], Path]) -> None:
    images = [{"id": image["id"], "file_name": image["file_name"]} for image in COCO["images"]]
    path = save("ann.json", {**COCO, "images": images})
    with pytest.raises(InputError, match="from 0 or from 1"):
        read_tracks(path)
    assert read_tracks(path, asked=Asked(frame_base=1)).frame.tolist() == [1, 0]


def test_coco_results_name_the_frame_as_image(save: Callable[[str, Any], Path]) -> None:
    path = save("results.json", [{"image_id": 0, "category_id": 1, "bbox": [1.5, 2.5, 3, 4], "score": 0.5}])
    tracks = read_tracks(path)
    assert (tracks.format, tracks.frame.tolist(), tracks.box[0].tolist()) == ("coco", [0], [1, 2, 4, 6])


@pytest.mark.parametrize("width", [float("inf"), 1e300, -5, "x", None, [8]])
def test_a_size_that_no_image_has_is_none(save: Callable[[str, Any], Path], width: Any) -> None:
    images = [{**image, "width": width, "height": 6} for image in COCO["images"]]
    assert read_tracks(save("ann.json", {**COCO, "images": images})).header.size is None
    classic = {"metadata": {"width": width, "height": 6, "fps": float("inf")}, "tracks": [{"frame": 0}]}
    header = read_tracks(save("t.json", classic)).header
    assert (header.size, header.fps) == (None, None)
    save("seq/seqinfo.ini", f"[Sequence]\nimWidth={width}\nimHeight=6\nframeRate=inf\n")
    header = read_tracks(save("seq/gt/gt.txt", MOT)).header
    assert (header.size, header.fps, len(header.notes)) == (None, None, 1)


def test_lists_behind_an_object_are_refused(save: Callable[[str, Any], Path]) -> None:
    """They were read, and written again with an object's members counted as records."""
    for start in ("{}", '{"a": 1}'):
        with pytest.raises(InputError, match="JSON"):
            read_tracks(save("t.jsonl", f"{start}\n{json.dumps(YOLO_FRAME)}\n"))


def test_several_videos_in_one_file_are_refused(save: Callable[[str, Any], Path]) -> None:
    images = [{**image, "video_id": image["id"]} for image in COCO["images"]]
    with pytest.raises(InputError, match="2 videos"):
        read_tracks(save("ann.json", {**COCO, "images": images}))


@pytest.mark.parametrize(("name", "content"), [("d.csv", SINK_CSV), ("d.json", SINK_JSON)])
def test_supervisions_sinks(save: Callable[[str, Any], Path], name: str, content: Any) -> None:
    tracks = read_tracks(save(name, content))
    assert tracks.format == "supervision"
    assert tracks.box[1].tolist() == [11, 21, 31, 61]
    assert tracks.frame.tolist() == ([0, 1] if name.endswith("csv") else [0, 4])
    assert len(tracks.track_names) == 1 and tracks.track.tolist() == [0, -1]


def test_a_sinks_frames_from_one_have_to_be_said(save: Callable[[str, Any], Path]) -> None:
    path = save("d.json", [{**row, "frame_number": row["frame_number"] + 1} for row in SINK_JSON])
    with pytest.raises(InputError, match="from 0 or from 1"):
        read_tracks(path)
    assert read_tracks(path, asked=Asked(frame_base=1)).frame.tolist() == [0, 4]


def test_a_sinks_frame_field_can_be_named(save: Callable[[str, Any], Path]) -> None:
    path = save("d.csv", SINK_CSV.replace("frame_index", "bild"))
    with pytest.raises(InputError, match="to be the frame number"):
        read_tracks(path)
    assert read_tracks(path, asked=Asked(frame_field="bild")).frame.tolist() == [0, 1]


@pytest.mark.parametrize(
    "content",
    [
        [YOLO_FRAME, [], YOLO_FRAME],
        "\n".join(json.dumps(frame) for frame in (YOLO_FRAME, [], YOLO_FRAME)),
        [{**YOLO_FRAME[0], "frame": frame} for frame in (0, 2)],
    ],
    ids=["list of lists", "a list per line", "objects with frames"],
)
def test_ultralytics_json(save: Callable[[str, Any], Path], content: Any) -> None:
    tracks = read_tracks(save("results.json", content))
    assert tracks.format == "ultralytics"
    assert tracks.frame.tolist() == [0, 2]
    assert tracks.box.tolist() == [[10, 20, 30, 60]] * 2
    assert (tracks.track_names, tracks.category_names) == ([4], ["person"])


def test_ultralytics_boxes_in_fractions_are_not_taken_for_pixels(save: Callable[[str, Any], Path]) -> None:
    box = {"x1": 0.1, "y1": 0.2, "x2": 0.9, "y2": 1.0}
    with pytest.raises(InputError, match="fractions"):
        read_tracks(save("results.json", [[{**YOLO_FRAME[0], "box": box}]]))


def test_ultralytics_labels_are_fractions_and_their_frames_count_from_one(
    save: Callable[[str, Any], Path],
) -> None:
    folder = save("labels/clip_1.txt", "0 0.5 0.5 0.25 0.5 3\n2 0.5 0.5 0.5 0.5 0.875\n").parent
    save("labels/clip_10.txt", "0 0.5 0.5 0.25 0.5 0.75 3\n")
    save("labels/clip_2.txt", "1 0.25 0.25 0.5 0.25 0.5 0.75 5\n")
    with pytest.raises(InputError, match="fractions"):
        read_tracks(folder)
    tracks = read_tracks(folder, asked=Asked(size=(400, 200), masks=True))
    assert tracks.format == "ultralytics"
    assert tracks.frame.tolist() == [0, 0, 1, 9]
    assert tracks.box[0].tolist() == [149.5, 49.5, 249.5, 149.5]
    assert tracks.box[2].tolist() == [99.5, 49.5, 199.5, 149.5]
    assert tracks.masks == {2: [[100.0, 50.0, 200.0, 50.0, 200.0, 150.0]]}
    assert [tracks.track_names[i] if i >= 0 else None for i in tracks.track] == ["3", None, "5", "3"]


def test_what_is_no_track_file_is_refused_in_words(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    for name, content in {"a.txt": "hello\n", "b.json": {"x": 1}, "d.csv": "a,b\n1,2\n"}.items():
        with pytest.raises(InputError, match="no track format"):
            recognise(save(name, content))
    with pytest.raises(InputError, match="no track file"):
        read_tracks(tmp_path / "none.json")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with pytest.raises(InputError):
        read_tracks(tmp_path / "binary")


@pytest.mark.parametrize("cut", range(40, 400, 37))
def test_json_cut_anywhere_says_so_and_counts_what_was_whole(save: Callable[[str, Any], Path], cut: int) -> None:
    text = json.dumps({"tracks": [{"frame": i, "bbox": [1, 2, 3, 4]} for i in range(12)]})
    whole = text[:cut].count("}")
    with pytest.raises(InputError, match="ends in the middle") as caught:
        read_tracks(save("t.json", text[:cut]), "classic")
    assert f" {whole} whole records" in caught.value.problem


def test_broken_json_and_absurd_nesting_are_refused(save: Callable[[str, Any], Path]) -> None:
    for text in (
        '{"tracks": [{"frame": 1}, oops]}',
        '{"tracks": ' + "[" * 100_000,
        '{"tracks": []} trailing',
        f"[{'9' * 5000}]",
    ):
        with pytest.raises(InputError):
            read_tracks(save("t.json", text), "classic")


BAD = [
    ({"frame": 1, "bbox": [float("nan"), 1, 2, 3]}, Skip.NOT_A_NUMBER),
    ({"frame": 1, "contact_2d": [1, float("inf")]}, Skip.NOT_A_NUMBER),
    ({"frame": 1, "bbox": ["a", 1, 2, 3]}, Skip.NOT_A_NUMBER),
    ({"frame": 1, "bbox": [1, 2]}, Skip.NOT_A_NUMBER),
    ({"frame": 1, "bbox": [10**400, 1, 2, 3]}, Skip.NOT_A_NUMBER),
    ({"frame": 1, "bbox": [30, 1, 20, 3]}, Skip.INSIDE_OUT),
    ({"frame": 1}, Skip.NO_PLACE),
    ({"frame": "somewhere", "bbox": [1, 2, 3, 4]}, Skip.NO_FRAME),
    ({"bbox": [1, 2, 3, 4]}, Skip.NO_FRAME),
    (None, Skip.UNREADABLE),
    ([1, 2], Skip.UNREADABLE),
    ({"frame": 1, "detected": False}, Skip.UNDETECTED),
    ({"frame": 1, "bbox": [1, 2, 3, 4]}, Skip.NONE),
]


def test_every_bad_record_has_its_reason_and_none_is_dropped(
    save: Callable[[str, Any], Path], tmp_path: Path
) -> None:
    tracks = read_tracks(save("t.json", {"tracks": [record for record, _ in BAD]}))
    assert tracks.skip.tolist() == [reason for _, reason in BAD]
    enriched = found(tracks)
    write_tracks(tracks, enriched, tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())
    assert len(out["tracks"]) == len(BAD)
    assert out["metadata"]["vda_skipped"] == len(BAD) - 1
    assert sum(out["metadata"]["vda_skipped_reasons"].values()) == len(BAD) - 1


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("7", 7),
        ("7.0", 7),
        (" 007 ", 7),
        ("frame_00007", 7),
        ("run2/frame_00007.png", 7),
        ("7.5", None),
        ("", None),
        ("frame", None),
        ("nan", None),
        (True, None),
        (7.25, None),
        (10**400, None),
    ],
)
def test_the_frame_of_a_record_is_a_whole_number_or_none(
    save: Callable[[str, Any], Path], text: Any, frame: int | None
) -> None:
    tracks = read_tracks(save("t.json", {"tracks": [{"frame": text, "bbox": [1, 2, 3, 4]}]}))
    assert (tracks.frame[0], tracks.skip[0]) == ((-1, Skip.NO_FRAME) if frame is None else (frame, Skip.NONE))


def test_negative_frames_are_refused(save: Callable[[str, Any], Path]) -> None:
    with pytest.raises(InputError, match="frame -3"):
        read_tracks(save("d.csv", "frame,x1,y1,x2,y2\n-3,1,2,3,4\n"))


def test_frames_below_the_formats_first_are_refused_until_explained(save: Callable[[str, Any], Path]) -> None:
    path = save("gt.txt", MOT.replace("1,3,101", "0,3,101"))
    with pytest.raises(InputError, match="count from 1"):
        read_tracks(path)
    assert read_tracks(path, asked=Asked(frame_base=0)).frame.tolist() == [0, 2, 2]


@pytest.mark.parametrize("content", [{"tracks": []}, {"images": [], "annotations": []}])
def test_empty_files_have_no_records(save: Callable[[str, Any], Path], content: Any, tmp_path: Path) -> None:
    tracks = read_tracks(save("t.json", content))
    assert len(tracks) == 0
    write_tracks(tracks, found(tracks), tmp_path / "out.json")
    assert content.items() <= json.loads((tmp_path / "out.json").read_text()).items()


def test_the_classic_file_comes_out_with_fields_added_and_all_else_as_it_was(
    save: Callable[[str, Any], Path], tmp_path: Path
) -> None:
    tracks = read_tracks(save("t.json", CLASSIC))
    assert write_tracks(tracks, found(tracks), tmp_path / "out.json") == [tmp_path / "out.json"]
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["tracks"][0]["vda_position_3d"] == {"x": 0.0, "y": 0.0, "z": 1.0}
    assert (out["tracks"][2]["vda_depth"], out["tracks"][2]["vda_depth_std"]) == (3.0, 0.25)
    assert (out["tracks"][1]["vda_valid"], out["tracks"][1]["vda_reason"]) == (False, "not detected")
    assert (out["metadata"]["vda_processed"], out["metadata"]["vda_skipped"]) == (2, 1)
    assert out["metadata"]["vda_skipped_reasons"] == {"not detected": 1}
    assert without_ours(out) == CLASSIC


def without_ours(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_ours(item) for key, item in value.items() if not key.startswith("vda_")}
    return [without_ours(item) for item in value] if isinstance(value, list) else value


def test_coco_comes_out_with_fields_added(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    tracks = read_tracks(save("ann.json", COCO))
    write_tracks(tracks, found(tracks), tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())
    assert [annotation["vda_depth"] for annotation in out["annotations"]] == [1.0, 2.0]
    assert out.pop("info")["vda_processed"] == 2
    assert without_ours(out) == COCO


def test_mot_lines_get_columns_and_a_file_beside_them_says_which(
    save: Callable[[str, Any], Path], tmp_path: Path
) -> None:
    tracks = read_tracks(save("gt.txt", MOT + "3,1,nan,4,5,6,1,-1,-1,-1\n"))
    written = write_tracks(tracks, found(tracks), tmp_path / "out.txt")
    lines = [line.split(",") for line in (tmp_path / "out.txt").read_text().splitlines()]
    assert [",".join(line[:10]) for line in lines[:3]] == MOT.splitlines()
    beside = json.loads(written[1].read_text())
    depth = 10 + beside["columns_added"].index("vda_depth")
    assert [line[depth] for line in lines] == ["1", "2", "3", "nan"]
    assert beside["reason_codes"][lines[3][-1]] == "a coordinate is not a finite number"
    assert beside["vda_skipped"] == 1


def test_csv_gets_columns(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    tracks = read_tracks(save("d.csv", SINK_CSV + "x,1,2,3,0,0.5,9,cat,2\n"))
    write_tracks(tracks, found(tracks), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert rows[0]["class_name"] == "person, young"
    assert [row["vda_depth"] for row in rows] == ["1", "2", ""]
    assert [row["vda_valid"] for row in rows] == ["true", "true", "false"]
    assert rows[2]["vda_reason"] == "a coordinate is not a finite number"


@pytest.mark.parametrize("content", [[YOLO_FRAME, [], YOLO_FRAME], SINK_JSON])
def test_json_lists_come_out_as_lists(save: Callable[[str, Any], Path], tmp_path: Path, content: Any) -> None:
    tracks = read_tracks(save("r.json", content))
    write_tracks(tracks, found(tracks), tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())
    assert without_ours(out) == content
    last = out[-1][0] if isinstance(out[-1], list) else out[-1]
    assert last["vda_depth"] == 2.0


@pytest.mark.parametrize("frames", [[[], YOLO_FRAME], [YOLO_FRAME], [YOLO_FRAME, YOLO_FRAME, []]])
def test_lists_line_after_line_stay_a_line_each(
    save: Callable[[str, Any], Path], tmp_path: Path, frames: list[Any]
) -> None:
    tracks = read_tracks(save("r.jsonl", "".join(json.dumps(frame) + "\n" for frame in frames)))
    write_tracks(tracks, found(tracks), tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [without_ours(json.loads(line)) for line in lines] == frames


def test_label_files_get_columns(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    folder = save("labels/clip_1.txt", "0 0.5 0.5 0.25 0.5 3\n").parent
    save("labels/clip_2.txt", "0 0.5 0.5 0.25 0.5 3\n")
    tracks = read_tracks(folder, asked=Asked(size=(40, 20)))
    stale, other = save("out/clip_9.txt", "0 0 0 0 0\n"), save("out/notes.md", "mine")
    written = write_tracks(tracks, found(tracks), tmp_path / "out")
    assert not stale.exists() and other.read_text() == "mine"
    line = (tmp_path / "out" / "clip_2.txt").read_text().split()
    assert line[6 + json.loads(written[1].read_text())["columns_added"].index("vda_depth")] == "2"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_table_has_a_row_a_record_whatever_the_format(
    save: Callable[[str, Any], Path], tmp_path: Path, suffix: str
) -> None:
    tracks = read_tracks(save("t.json", CLASSIC))
    write_table(tracks, found(tracks), tmp_path / f"table.{suffix}")
    if suffix == "csv":
        with (tmp_path / "table.csv").open() as handle:
            rows: list[dict[str, Any]] = list(csv.DictReader(handle))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(tmp_path / "table.parquet").to_pylist()
    assert [str(row["frame"]) for row in rows] == ["7", "8", "9"]
    assert float(rows[2]["vda_depth"]) == 3.0
    assert rows[1]["vda_depth"] in ("", None)
    assert rows[1]["vda_reason"] == "not detected"


def test_numbers_are_whole_wherever_the_reader_pauses(save: Callable[[str, Any], Path]) -> None:
    numbers = [i * 7919 for i in range(200_000)]
    path = save("n.json", {"tracks": numbers})
    assert path.stat().st_size > 1 << 20
    assert [event.value for event in stream(path, ("tracks",)) if event.kind == "item"] == numbers


def test_a_large_file_streams(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    count = 12_000
    records = ({"frame": i // 10, "bbox": [1, 2, 3, 4 + i % 7], "pad": "x" * 80} for i in range(count))
    path = save("big.json", '{"tracks": [' + ", ".join(map(json.dumps, records)) + "]}")
    assert path.stat().st_size > 1 << 20
    tracks = read_tracks(path)
    write_tracks(tracks, found(tracks), tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())["tracks"]
    assert [record["vda_depth"] for record in out] == [float(f"{i + 1:.7g}") for i in range(count)]


CSV_HEAD = "frame_number,x_min,y_min,x_max,y_max,tracker_id\n"


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        # MOTChallenge's det.txt: "id ... for detections -1".
        ("det.txt", "1,-1,10,20,30,40,0.9,-1,-1,-1\n2,-1,12,20,30,40,0.9,-1,-1,-1\n", [None, None]),
        ("gt.txt", "1,7,10,20,30,40,1,1,1\n2,-1,12,20,30,40,1,1,1\n", [7, None]),
        # supervision's sinks write -1 or nothing for detections that no tracker took.
        ("a.csv", f"{CSV_HEAD}0,1,2,3,4,-1\n1,1,2,3,4,\n2,1,2,3,4,5\n", [None, None, "5"]),
        # pandas turns a column of integers with a hole into floats.
        ("b.csv", f"{CSV_HEAD}0,1,2,3,4,3.0\n1,1,2,3,4,\n2,1,2,3,4,3\n3,1,2,3,4,nan\n", ["3", None, "3", None]),
        (
            "c.json",
            {"tracks": [{"frame": 0, "bbox": [1, 2, 3, 4], "track_id": name} for name in (3.0, 3, -1, "a")]},
            [3, 3, None, "a"],
        ),
        ("d.json", {"tracks": [{"frame": n, "bbox": [1, 2, 3, 4]} for n in range(2)]}, [None, None]),
    ],
)  # fmt: skip
def test_minus_one_and_nothing_name_no_track_and_a_whole_float_is_the_number(
    save: Callable[[str, Any], Path], name: str, content: Any, names: list[Any]
) -> None:
    tracks = read_tracks(save(name, content))
    assert [None if code < 0 else tracks.track_names[code] for code in tracks.track] == names


def images(field: str, numbers: list[int], **more: Any) -> dict[str, Any]:
    """A COCO-video file with one thing in every image."""
    return {
        "images": [{"id": 100 + n, "file_name": f"{n:06d}.jpg", field: n, **more} for n in numbers],
        "annotations": [{"image_id": 100 + n, "bbox": [10.5, 20, 30, 40]} for n in numbers],
    }


@pytest.mark.parametrize(
    ("content", "frames"),
    [
        # ByteTrack's and CenterTrack's converters: "image number in the video sequence, starting from 1".
        (images("frame_id", [1, 2, 3], prev_image_id=-1, next_image_id=7), [0, 1, 2]),
        # mmtracking's: frame_id from 0 beside MOTChallenge's own number, here of a part of the video.
        (images("frame_id", [4, 5], mot_frame_id=5), [4, 5]),
        (images("frame_id", [0, 7]), [0, 7]),
        # TAO's name for it.
        (images("frame_index", [0, 30, 60]), [0, 30, 60]),
        # An annotated frame may be long after the first one: the images tell.
        ({**images("frame_id", [0, 3]), "annotations": [{"image_id": 103, "bbox": [10.5, 20, 30, 40]}]}, [3]),
    ],
)
def test_coco_counts_frames_as_its_writer_does(
    save: Callable[[str, Any], Path], content: Any, frames: list[int]
) -> None:
    assert read_tracks(save("c.json", content)).frame.tolist() == frames


@pytest.mark.parametrize("field", ["frame_id", "frame_index"])
def test_coco_that_does_not_tell_how_it_counts_is_asked(save: Callable[[str, Any], Path], field: str) -> None:
    path = save("c.json", images(field, [1, 2]))
    with pytest.raises(InputError, match="--frame-base"):
        read_tracks(path)
    assert read_tracks(path, asked=Asked(frame_base=0)).frame.tolist() == [1, 2]


def test_coco_ids_may_be_anything(save: Callable[[str, Any], Path]) -> None:
    content = {
        "images": [{"id": [1], "frame_id": 0, "video_id": {}}],
        "categories": [{"id": [2], "name": "a"}],
        "annotations": [{"image_id": [1], "bbox": [1, 2, 30, 4], "category_id": [2], "track_id": [3]}],
    }
    tracks = read_tracks(save("c.json", content))
    assert (tracks.frame.tolist(), tracks.category_names, tracks.track_names) == ([0], ["a"], ["[3]"])


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["clip_1", "clip_3"], [0, 2]),
        (["clip_0", "clip_3"], [0, 3]),
        (["frame_00000", "frame_00002"], [0, 2]),
        (["000000", "000007"], [0, 7]),
    ],
)
def test_label_names_tell_the_frame(save: Callable[[str, Any], Path], names: list[str], frames: list[int]) -> None:
    folder = [save(f"labels/{name}.txt", "0 0.5 0.5 0.25 0.5\n").parent for name in names].pop()
    assert read_tracks(folder, asked=Asked(size=(40, 20))).frame.tolist() == frames


@pytest.mark.parametrize("name", ["frame_00012", "000012", "12"])
def test_labels_named_after_images_have_to_be_told_how_they_count(
    save: Callable[[str, Any], Path], name: str
) -> None:
    folder = save(f"labels/{name}.txt", "0 0.5 0.5 0.25 0.5\n").parent
    with pytest.raises(InputError, match="--frame-base"):
        read_tracks(folder, asked=Asked(size=(40, 20)))
    assert read_tracks(folder, asked=Asked(frame_base=1, size=(40, 20))).frame.tolist() == [11]


@pytest.mark.parametrize(
    "line", ["1,7,10,20,30,40", "1,7,10,20,30,40,0.5", "1,7,10,20,30,40,1,3,0.5", "1 7 10 20 30 40"]
)
def test_our_columns_come_after_the_ten_of_motchallenge(
    save: Callable[[str, Any], Path], tmp_path: Path, line: str
) -> None:
    """The definition: frame, id, bb_left, bb_top, bb_width, bb_height, conf, x, y, z; -1 for no place."""
    tracks = read_tracks(save("gt.txt", line + "\n"))
    written = write_tracks(tracks, found(tracks), tmp_path / "out.txt")
    separator = "," if "," in line else None
    own, words = line.split(separator), written[0].read_text().strip().split(separator)
    assert words[:10] == own + ["1", "-1", "-1", "-1"][len(own) - 10 :]
    names = json.loads(written[1].read_text())["columns_added"]
    assert len(words) == 10 + len(names)
    assert float(words[10 + names.index("vda_depth")]) == 1.0


def enriched_twice(tmp_path: Path, path: Path, size: tuple[int, int] | None = None) -> tuple[Path, Path]:
    """Enriched, and what came out enriched again."""
    once, twice = (tmp_path / f"{number}{path.suffix}" for number in (1, 2))
    for source, output in ((path, once), (once, twice)):
        tracks = read_tracks(source, asked=Asked(size=size))
        write_tracks(tracks, found(tracks), output)
    return once, twice


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", CLASSIC),
        ("c.json", COCO),
        ("y.json", [YOLO_FRAME, []]),
        ("y.jsonl", json.dumps(YOLO_FRAME) + "\n"),
        ("s.json", SINK_JSON),
        ("s.csv", f"{CSV_HEAD}0,1,2,30,40,3\n1,1,2,30,40,3\n"),
        ("gt.txt", MOT),
    ],
)
def test_an_enriched_file_is_enriched_anew_and_not_twice(
    save: Callable[[str, Any], Path], tmp_path: Path, name: str, content: Any
) -> None:
    once, twice = enriched_twice(tmp_path, save(name, content))
    assert once.read_text() == twice.read_text()


def test_enriched_labels_are_read_as_the_boxes_they_were(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    folder = save("labels/clip_1.txt", "0 0.5 0.5 0.25 0.5 3\n").parent
    once, twice = enriched_twice(tmp_path, folder, (40, 20))
    assert (once / "clip_1.txt").read_text() == (twice / "clip_1.txt").read_text()


def test_a_record_that_lost_its_place_loses_its_old_position(
    save: Callable[[str, Any], Path], tmp_path: Path
) -> None:
    old = {"frame": 0, "detected": False, "bbox": [1, 2, 3, 4], "vda_depth": 9.0, "vda_position_3d": {"x": 1}}
    tracks = read_tracks(save("t.json", {"metadata": {"vda_processed": 7, "fps": 25}, "tracks": [old]}))
    write_tracks(tracks, found(tracks), tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())
    assert "vda_depth" not in out["tracks"][0] and "vda_position_3d" not in out["tracks"][0]
    assert (out["metadata"]["vda_processed"], out["metadata"]["fps"]) == (0, 25)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"{CSV_HEAD}0,0.1,0.2,0.3,0.4,1\n1,0.1,0.2,0.5,0.9,1\n"),
        ("b.json", [{"frame_number": 0, "x_min": 0.1, "y_min": 0, "x_max": 1.0, "y_max": 0.5}]),
        ("c.json", {"tracks": [{"frame": 0, "contact_2d": [0.5, 0.25]}]}),
        ("gt.txt", "1,1,0.2,0.3,0.4,0.5,1,-1,-1,-1\n"),
    ],
)
def test_fractions_are_not_taken_for_pixels(save: Callable[[str, Any], Path], name: str, content: Any) -> None:
    with pytest.raises(InputError, match="fractions"):
        read_tracks(save(name, content))


@pytest.mark.parametrize("line", ["10.5,20.5,30.5,20,30,40,10,40", "10,20,30,20,30,40,10,40", "10,20,30,40"])
def test_vots_regions_are_refused_in_words(save: Callable[[str, Any], Path], line: str) -> None:
    with pytest.raises(InputError, match="VOT"):
        read_tracks(save("groundtruth.txt", f"{line}\n{line}\n"))


@pytest.mark.parametrize("flag", [False, 0, None, "false", "False", "0", "no", ""])
def test_not_detected_in_every_spelling(save: Callable[[str, Any], Path], flag: Any) -> None:
    record = {"frame": 0, "bbox": [1, 2, 30, 4]}
    content = {"tracks": [{**record, "detected": flag}, {**record, "detected": "true"}]}
    assert read_tracks(save("t.json", content)).skip.tolist() == [Skip.UNDETECTED, Skip.NONE]


@pytest.mark.parametrize(
    ("name", "format_name"),
    [("det.txt", None), ("det.txt", "mot"), ("a.csv", None), ("a.csv", "supervision"), ("r.jsonl", None)],
)
def test_a_tracker_that_found_nothing_comes_out_as_nothing(
    save: Callable[[str, Any], Path], tmp_path: Path, name: str, format_name: str | None
) -> None:
    tracks = read_tracks(save(name, ""), format_name)
    assert len(tracks) == 0
    assert write_tracks(tracks, found(tracks), tmp_path / "out")[0].exists()


@pytest.mark.parametrize("format_name", ["classic", "coco", "ultralytics", "supervision"])
def test_an_empty_file_named_json_gets_no_columns_of_a_csv(
    save: Callable[[str, Any], Path], tmp_path: Path, format_name: str
) -> None:
    tracks = read_tracks(save("nothing.json", "\n"), format_name)
    written = write_tracks(tracks, found(tracks), tmp_path / "out.json")
    assert len(tracks) == 0
    assert written[0].read_text() == ""


def test_a_list_of_nothing_needs_no_format(save: Callable[[str, Any], Path], tmp_path: Path) -> None:
    tracks = read_tracks(save("nothing.json", []))
    assert json.loads(write_tracks(tracks, found(tracks), tmp_path / "out.json")[0].read_text()) == []


@pytest.mark.parametrize("format_name", ["classic", "mot", "ultralytics", "supervision"])
@pytest.mark.parametrize("content", [{}, {"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}])
def test_an_object_of_another_format_is_not_a_file_without_records(
    save: Callable[[str, Any], Path], content: Any, format_name: str
) -> None:
    with pytest.raises(InputError, match=f"not one of the format {format_name}"):
        read_tracks(save("t.json", content), format_name)


def test_lines_of_eight_numbers_are_mots_where_that_is_said(save: Callable[[str, Any], Path]) -> None:
    path = save("t.txt", "1,7,40,40,20,20,1,-1\n2,7,41,40,20,20,1,-1\n")
    with pytest.raises(InputError, match="VOT") as refused:
        read_tracks(path)
    assert "--track-format mot" in str(refused.value)
    assert read_tracks(path, "mot").frame.tolist() == [0, 1]


def test_an_empty_folder_of_labels_is_a_video_without_anything(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    tracks = read_tracks(tmp_path / "labels", asked=Asked(size=(40, 20)))
    write_tracks(tracks, found(tracks), tmp_path / "out")
    assert len(tracks) == 0 and (tmp_path / "out").is_dir()


def test_a_file_that_is_one_long_line_is_recognised_by_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    records = [{"frame": frame, "contact_2d": [1.0, 2.0], "note": "x" * 100} for frame in range(100_000)]
    path.write_text(json.dumps({"tracks": records}))
    del records
    tracemalloc.start()
    try:
        assert recognise(path) == "classic"
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 2
    finally:
        tracemalloc.stop()
