"""Random ranges of every kind of clip, and random cuts of its container, held against reading from the start.

    python tests/any_video.py --ranges 500 --cuts 200 --seed 1

A range equals the same frames of the whole. Of a clip that was cut, flipped or robbed of packets this holds too,
and its visualization has a frame per PNG, each at its time; or two sentences say why it is no video.
"""

import argparse
import faulthandler
import os
import random
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import kinds
import numpy as np

from vda.errors import VdaError, VideoError
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.video import Frame, index_frames, probe, read_frames
from vda.video.opening import TOLERANT

# A flipped bit can make pictures of any size; larger ones are read, but not merged.
MOST_PIXELS = 1_000_000
# These say how many bytes or frames they have: where the end is missing, that has to be noticed.
_SIZED = (".mp4", ".mov", ".mkv", ".webm", ".avi")


def seen(frame: Frame) -> tuple[int, float, bool, int]:
    """All there is to a frame, in little memory."""
    return frame.index, frame.time_s, frame.decoded, zlib.crc32(frame.rgb.tobytes())


class Read:
    """A clip that was counted, or listed, and read from its start."""

    def __init__(self, path: Path, *, trust_container: bool = False) -> None:
        self.info = probe(path)
        self.index = index_frames(
            self.info, cache_dir=path.parent / f"cache-{path.name}", trust_container=trust_container
        )
        self.frames = [seen(frame) for frame in read_frames(self.info, self.index, 0, len(self.index))]

    def require_any_range(self, rng: random.Random) -> None:
        start = rng.randrange(len(self.index))
        stop = rng.randint(start, min(len(self.index), start + 12))
        threads = rng.choice([None, 1, 2, 5])
        frames = [seen(frame) for frame in read_frames(self.info, self.index, start, stop, threads=threads)]
        assert frames == self.frames[start:stop], f"{self.info.path.name}: {start}:{stop} by {threads} threads"

    def require_visualization(self, rng: random.Random) -> None:
        """Merge invented depth of all frames, or of some, and hold the visualization against the PNGs."""
        if self.info.width * self.info.height > MOST_PIXELS:
            return
        count = len(self.index)
        start = rng.choice([0, rng.randrange(count)])
        stop = rng.choice([count, rng.randint(start + 1, count)])
        with tempfile.TemporaryDirectory() as folder:
            scene = Scene(Path(folder) / "scene")
            split(self.info.path, scene, PlanSettings(chunks=1, frames=(start, stop), chunking="independent"))
            scene.depths_dir.mkdir()
            depth = np.random.default_rng(0).random((stop - start, self.info.height, self.info.width), np.float32)
            np.savez(scene.depths_dir / "chunk_00_depths.npz", depths=depth)
            merge(scene, MergeSettings(create_video=True))
            images = sorted(scene.merged_dir.glob("depth_*.png"))
            shown = _times(scene.merged_dir / "depth_visualization.mp4")
        assert [int(path.stem[-6:]) for path in images] == list(range(start, stop))
        times = self.index.times_s[start:stop]
        assert (np.diff(times) > 0).all()
        assert len(shown) == len(images), f"{len(shown)} frames of {len(images)} PNGs"
        assert np.allclose(shown, times - times[0], atol=1e-3), self.info.path.name


def decodable(path: Path) -> int:
    """How many frames FFmpeg decodes with one thread, packet by packet: nothing is lost at the end."""
    count = 0
    try:
        with av.open(str(path), **TOLERANT) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
                return 0
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            for packet in container.demux(stream):
                try:
                    count += len(packet.decode())
                except av.FFmpegError:
                    continue
    except (av.FFmpegError, IndexError):
        return count
    return count


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def require_ranges(folder: Path, count: int, seed: int) -> Counter[str]:
    """``count`` random ranges over all kinds, counted and trusted in turn; ``AssertionError`` at a wrong one."""
    rng, done = random.Random(seed), Counter[str]()
    ways = [(name, trusted) for trusted in (False, True) for name in kinds.KINDS]
    whole: dict[tuple[str, bool], Read | None] = {}
    for place in range(count):
        name, trusted = way = ways[place % len(ways)]
        if way not in whole:
            path = folder / name
            whole[way] = _read(path if path.exists() else kinds.KINDS[name].make(path), trusted)
        read = whole[way]
        if read is None:
            done["refused"] += 1
            continue
        read.require_any_range(rng)
        done["trusted" if trusted else "counted"] += 1
    return done


def _read(path: Path, trusted: bool) -> Read | None:
    try:
        return Read(path, trust_container=trusted)
    except VideoError as error:
        # A stream without times has no list of frames to trust.
        assert trusted and "no frame times" in error.problem, error
        return None


def truncate(rng: random.Random, source: Path, path: Path) -> None:
    data = source.read_bytes()
    path.write_bytes(data[: rng.randint(1, len(data) - 1)])


def flip(rng: random.Random, source: Path, path: Path) -> None:
    data = bytearray(source.read_bytes())
    for _ in range(rng.choice([1, 4, 40])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def drop(rng: random.Random, source: Path, path: Path) -> None:
    """Copy the packets but for some."""
    share = rng.choice([0.02, 0.1, 0.5])
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size and rng.random() >= share:
                packet.stream = stream
                new.mux(packet)


WAYS: dict[str, Callable[[random.Random, Path, Path], None]] = {"truncate": truncate, "flip": flip, "drop": drop}


def require_cuts(
    folder: Path, count: int, seed: int, *, tell: Callable[[str], None] = lambda _: None
) -> Counter[str]:
    """``count`` random cuts over all whole kinds; ``AssertionError`` where one is neither read nor refused."""
    done = Counter[str]()
    lengths: dict[str, int] = {}
    for place in range(count):
        rng = random.Random(f"{seed}:{place}")
        kind = kinds.WHOLE[place % len(kinds.WHOLE)]
        way = rng.choice(list(WAYS))
        tell(f"{place}: {kind.name}, {way}")
        source, path = folder / kind.name, folder / f"cut-{place}-{kind.name}"
        if not source.exists():
            kind.make(source)
        if kind.name not in lengths:
            lengths[kind.name] = len(Read(source).index)
        try:
            WAYS[way](rng, source, path)
        except (av.FFmpegError, ValueError):
            done[f"{way}: cannot be made"] += 1  # not every muxer takes every stream with gaps
            continue
        done[f"{way}: {_outcome(rng, path, way, lengths[kind.name])}"] += 1
        path.unlink()
    return done


def _outcome(rng: random.Random, path: Path, way: str, length: int) -> str:
    try:
        read = Read(path)
    except VdaError as error:
        assert error.problem.endswith(".") and error.remedy.endswith("."), error
        assert "not the picture" in error.problem or not decodable(path), f"{path.name} has pictures: {error}"
        return "refused"
    try:
        read.require_any_range(rng)
        read.require_any_range(rng)
    except VideoError as error:
        assert "not the picture" in error.problem, error
        return "decodes differently each time, said"
    read.require_visualization(rng)
    if len(read.index) >= length:
        return "all frames"
    told = bool(read.index.notes)
    assert told or way != "truncate" or path.suffix not in _SIZED, f"{path.name}: {len(read.index)} of {length}"
    return "fewer frames, said" if told else "fewer frames, which nothing in the file tells"


def tell(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranges", type=int, default=500)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        found = require_ranges(Path(folder), asked.ranges, asked.seed)
        tell(*(f"{number} ranges, {what}" for what, number in sorted(found.items())))
        found = require_cuts(Path(folder), asked.cuts, asked.seed, tell=tell)
        tell(*(f"{number} cuts, {what}" for what, number in sorted(found.items())))


if __name__ == "__main__":
    main()
