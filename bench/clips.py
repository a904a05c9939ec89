"""A hundred three-second clips against one of three hundred seconds, on one worker."""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.material import make_video, settings
from vda.api.todepth import depth
from vda.merging.settings import MergeSettings

FPS, CLIPS, SECONDS = 30, 100, 3


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as place:
        long = make_video(Path(place) / "long.mp4", FPS * SECONDS * CLIPS, FPS)
        clip = make_video(Path(place) / "clip.mp4", FPS * SECONDS, FPS)
        whole, whole_cpu = _seconds([long], Path(place) / "whole")
        yield Figure(f"one clip of {SECONDS * CLIPS} s", whole, "s")
        clips = [Path(place) / f"clip_{number:03d}.mp4" for number in range(CLIPS)]
        for path in clips:
            path.hardlink_to(clip)
        many, many_cpu = _seconds(clips, Path(place) / "many")
        yield Figure(f"{CLIPS} clips of {SECONDS} s", many, "s")
        yield Figure("the clips against the one", many / whole, "", 1.2)
        # What else the machine does in half an hour moves the clock more than the CPU time.
        yield Figure("the clips' CPU time against the one's", many_cpu / whole_cpu, "", 1.2)


def _seconds(videos: list[Path], place: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU, that of workers included."""
    began, used = time.monotonic(), _cpu_seconds()
    depth(videos, [place / video.stem for video in videos], settings("cpu"), MergeSettings())
    return time.monotonic() - began, _cpu_seconds() - used


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)
