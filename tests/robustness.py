"""The table of ``docs/robustness.md``: what FFmpeg answers of a clip, and what is found of it here.

    python tests/robustness.py --page docs/robustness.md    all clips that the tests make, into the page
    python tests/robustness.py --folder videos              the files in a folder, to the screen

FFmpeg's answer is counted by PyAV alone, packet by packet with one decoder thread; times are its best effort for
each frame, as libavcodec guesses it from what the packet and the decoder say.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import kinds
import numpy as np

from vda.errors import VdaError
from vda.video import index_frames, probe
from vda.video.notes import notes_of
from vda.video.opening import TOLERANT

BEGIN, END = "<!-- made clips -->", "<!-- end of made clips -->"


@dataclass(frozen=True)
class Row:
    """Frames, and seconds from the first to the last: FFmpeg's, and those found here; None: not one frame."""

    name: str
    expected: tuple[int, float] | None
    found: tuple[int, float] | None
    step_s: float
    said: str

    @property
    def agrees(self) -> bool:
        """Within two frames: FFmpeg's guess for B-frames in AVI skips one, and a clock set back goes on by one."""
        if self.expected is None or self.found is None:
            return self.expected == self.found
        return (
            self.expected[0] == self.found[0] and abs(self.expected[1] - self.found[1]) <= 2 * self.step_s + 0.002
        )

    def __str__(self) -> str:
        cells = (f"`{self.name}`", *(_cells(self.expected)), *_cells(self.found), self.said)
        return f"| {' | '.join(cells)} |"


def _cells(answer: tuple[int, float] | None) -> tuple[str, str]:
    return ("none", "") if answer is None else (str(answer[0]), f"{answer[1]:.2f}")


def examine(path: Path) -> Row:
    """Ask FFmpeg, and this project."""
    times = list(ffmpeg_times(path))
    rises = np.maximum(np.diff(times), 0) if len(times) > 1 else np.zeros(1)
    step = float(np.median(rises))
    expected = (len(times), float(rises.sum())) if times else None
    try:
        info = probe(path)
        with tempfile.TemporaryDirectory() as cache:
            index = index_frames(info, cache_dir=Path(cache))
    except VdaError as error:
        return Row(path.name, expected, None, step, error.problem.replace(str(path), path.name))
    seconds = float(index.times_s[-1] - index.times_s[0])
    return Row(path.name, expected, (len(index), seconds), step, " ".join(notes_of(info, index)))


def ffmpeg_times(path: Path) -> Iterator[float]:
    """When each frame that decodes is shown, in seconds, by FFmpeg's best effort (libavcodec/decode.c)."""
    last_pts = last_dts = previous = None
    faulty_pts = faulty_dts = 0
    for frame, time_base, step in _decoded(path):
        pts, dts = frame.pts, frame.dts
        if dts is not None:
            faulty_dts += last_dts is not None and dts <= last_dts
            last_dts = dts
        if pts is not None:
            faulty_pts += last_pts is not None and pts <= last_pts
            last_pts = pts
        use_pts = pts is not None and (faulty_pts <= faulty_dts or dts is None)
        best = pts if use_pts else dts
        if best is None or (previous is not None and dts is None and faulty_pts and best <= previous):
            best = 0 if previous is None else previous + step
        previous = best
        yield best * time_base


def _opened(path: Path) -> av.container.InputContainer:
    """A folder of PNGs is FFmpeg's ``-pattern_type glob``."""
    if path.is_dir():
        return av.open(str(path / "*.png"), format="image2", options={"pattern_type": "glob"}, **TOLERANT)
    return av.open(str(path), **TOLERANT)


def _decoded(path: Path) -> Iterator[tuple[av.VideoFrame, float, int]]:
    try:
        with _opened(path) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
                return
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            time_base = float(stream.time_base or 1)
            step = max(1, round(1 / float(stream.guessed_rate or 25) / time_base))
            for packet in container.demux(stream):
                try:
                    for frame in packet.decode():
                        yield frame, time_base, step
                except av.FFmpegError:
                    continue
    except (av.FFmpegError, IndexError):
        return


def table(paths: Iterable[Path]) -> str:
    head = "| clip | FFmpeg: frames | seconds | here: frames | seconds | said |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(str(examine(path)) for path in paths)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="print the table of the files in it")
    parser.add_argument("--page", type=Path, help="write the table of the made clips into this page")
    asked = parser.parse_args()
    if asked.folder:
        sys.stdout.write(table(sorted(asked.folder.iterdir())) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        made = table(kind.make(Path(folder) / kind.name) for kind in kinds.KINDS.values())
    if asked.page:
        before, _, rest = asked.page.read_text().partition(BEGIN)
        asked.page.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
