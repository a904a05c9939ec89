"""The files of data sets to be made wrong: tables, folds, records of work, and a whole scaled set."""

import gzip
import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from clips import make_clip, picture
from data_sets import rows_of, table
from fuzz_depth import depth_record
from fuzz_seeds import js
from fuzz_target import SIZE, Target, content, every_way, one, only

from vda.fvc.clipreading import clip_times, read_boxes, read_codes, read_pictures, read_record, read_times
from vda.fvc.folds import check_folds, write_folds
from vda.fvc.ledger import read_records
from vda.fvc.record import Record
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.scaledtable import read_scaled
from vda.fvc.schema import read_metadata
from vda.fvc.shards import ShardSettings, write_shards
from vda.fvc.verify import verify

TABLE = (
    "video_path,label,original_video,augmentation_idx,is_original,dup_group,platform,scene,tracks\n"
    "a.mp4,real,a,,true,g,web,,\nb.mp4,fake,a,1,false,g,web,,\n"
)
ROWS = [
    {"video_path": "a.mp4", "label": "real", "augmentation_idx": None, "n": 1.5},
    {"video_path": "b.mp4", "label": "fake"},
]
SCALED = (
    "video_path,label,frames,fps,fold,depth_path,removed\nv/a.mp4,1,30,25.0,0,d/a,\nv/b.mp4,2,30,25.0,1,,true\n"
)
FOLDS = "video_path,label,fold\na.mp4,real,0\nb.mp4,fake,1\nc.mp4,fake,1\nd.mp4,real,0\n"
TIMES = [0, 40, 100, 160]


def frame_bytes(kind: str) -> bytes:
    file = io.BytesIO()
    getattr(pl.DataFrame(ROWS), f"write_{kind}")(file)
    return file.getvalue()


def ledger_line(name: str) -> bytes:
    made = Record(
        name, 0, {"video_path": "a.mp4"}, "done", {"size": 8}, {"video": "x"}, {"a": "y"}, {"frames": 3}, ("n",)
    )
    return made.to_line()


def use_folds(folder: Path) -> object:
    """As ``vda fvc folds`` reads tables: what is dealt out, what is kept, what is only looked at."""
    path = folder / "t.csv"
    return every_way(
        lambda: write_folds(path, folder / "out.csv", folds=2, kept_from=folder / "kept.csv", alone=True),
        lambda: check_folds(path),
        lambda: read_scaled(folder / "scaled.csv", folder / "t.csv"),
    )


def scaled_set(folder: Path) -> dict[str, bytes]:
    """A scaled video with times, tracks and depth."""
    draw = lambda number: picture(number, 32, 32)  # noqa: E731
    make_clip(folder / "set.mkv", range(len(TIMES)), draw=draw, pts=TIMES, time_base=Fraction(1, 1000))
    records = [
        {"frame": frame, "bbox": [1, 2, 9, 9], "track_id": 1, "detected": True} for frame in range(len(TIMES))
    ]
    (folder / "set.json").write_bytes(js({"metadata": {}, "tracks": records}))
    asked = table(folder / "set.csv", [{"video_path": "set.mkv", "label": "1", "tracks": "set.json"}])
    made = folder / "set"
    scale(asked, made, ScaleSettings(size=16, method="resize"))
    (row,) = rows_of(made / "scaled_metadata.csv")
    depth = row["video_path"].replace(".mp4", "_depth.mkv")
    grey = lambda number: np.full((SIZE[1], SIZE[0], 3), 90 + number, np.uint8)  # noqa: E731
    make_clip(made / depth, range(len(TIMES)), draw=grey, codec="ffv1", pix_fmt="gray16le")
    (made / depth).with_suffix(".json").write_bytes(depth_record(folder))
    table(made / "scaled_metadata.csv", [{**row, "depth_path": depth, "fold": "0"}])
    return {name: data for name, data in content(made).items() if "log" not in name}


def use_set(folder: Path) -> object:
    """As training reads it, and as ``vda fvc verify`` and ``vda fvc shards`` do."""
    first = np.array([0, 1])
    reads = [
        lambda video=video, read=read: read(video, first)
        for video in read_scaled(folder).videos[:2]
        for read in (lambda video, _: read_times(video), read_boxes, lambda video, _: read_record(video).quantizer,
                     read_codes, read_pictures)
    ]  # fmt: skip
    return every_way(
        *reads,
        lambda: verify(None, folder).findings,
        lambda: write_shards(folder, folder / "shards", ShardSettings()),
    )


def set_targets(folder: Path) -> Mapping[str, Target]:
    whole = scaled_set(folder)
    state = {"shards/shards.json": js({"000000.tar": {"of": "a", "sha256": "b"}})}
    texts = tuple(name for name in (*whole, *state) if not name.endswith((".mp4", ".mkv")))
    times = next(name for name in whole if name.endswith("_times.json"))
    return {
        "table": Target(
            "metadata of a data set: CSV, JSON, JSON lines, Parquet, Arrow (`fvc/reading`, `fvc/schema`)",
            only(read_metadata),
            one("t.csv", TABLE.encode(), TABLE.replace(",", ";").encode("utf-16"))
            + one("t.csv.gz", gzip.compress(TABLE.encode()))
            + one("t.json", js(ROWS))
            + one("t.jsonl", b"\n".join(map(js, ROWS)))
            + one("t.parquet", frame_bytes("parquet"))
            + one("t.arrow", frame_bytes("ipc"), frame_bytes("ipc_stream")),
        ),
        "scaled_table": Target(
            "`scaled_metadata.csv` (`fvc/scaledtable`)",
            only(read_scaled),
            one("scaled_metadata.csv", SCALED.encode()),
        ),
        "folds": Target(
            "tables of folds (`fvc/folds`, `fvc/parts`)",
            use_folds,
            (
                {
                    "t.csv": FOLDS.encode(),
                    "kept.csv": FOLDS.encode(),
                    "scaled.csv": SCALED.replace("v/", "").encode(),
                },
            ),
        ),
        "ledger": Target(
            "`scaled_state/part_*.jsonl` (`fvc/ledger`)",
            read_records,
            ({"scaled_state/part_000000.jsonl": ledger_line("a") + ledger_line("b")},),
        ),
        "times": Target("`*_times.json` (`fvc/clipreading`)", only(clip_times), one("a_times.json", whole[times])),
        "data_set": Target(
            "all texts and records of a scaled set and its shards (`fvc/verify`, `fvc/clipreading`, `fvc/shards`)",
            use_set,
            (whole | state,),
            texts,
        ),
    }
