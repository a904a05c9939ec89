"""Two thousand small videos: memory stays where it is, and any number of jobs makes the same of them."""

import os
from pathlib import Path

import clips
import psutil
import pytest
from data_sets import content, scaled, table

from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.verify import verify
from vda.reporter import Silence

COUNT, KINDS = 2000, 20
TINY = ScaleSettings(size=32)
# Records of 1500 rows more, and the tables of all of them while they are written.
MORE_BYTES = 40e6

pytestmark = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")


class Weighing(Silence):
    """Looks at the memory of this process after 500 videos, and at the end."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def at(self, done: int) -> None:
        if done in (500, COUNT):
            self.bytes[done] = psutil.Process().memory_info().rss


def test_memory_is_flat_and_nothing_is_made_twice(tmp_path: Path) -> None:
    for kind in range(KINDS):
        clips.make_clip(
            tmp_path / f"{kind}.mp4", range(kind, kind + 5), draw=lambda number: clips.picture(number, 32, 32)
        )
    names = [f"video{number:04d}.mp4" for number in range(COUNT)]
    for number, name in enumerate(names):
        (tmp_path / name).hardlink_to(tmp_path / f"{number % KINDS}.mp4")
    metadata = table(tmp_path / "videos.csv", ({"video_path": name, "label": "real"} for name in names))
    weighing = Weighing()
    assert scale(metadata, tmp_path / "out", TINY, reporter=weighing).scaled == COUNT
    assert weighing.bytes[COUNT] - weighing.bytes[500] < MORE_BYTES
    assert len(scaled(tmp_path / "out")) == COUNT
    assert scale(metadata, tmp_path / "out", TINY).kept == COUNT
    assert verify(metadata, tmp_path / "out").findings == ()
    assert scale(metadata, tmp_path / "two", TINY, jobs=2).scaled == COUNT
    assert content(tmp_path / "two") == content(tmp_path / "out")
