"""Chunks as clips: each chunk's frames as a video of its own, for machines that do not have the whole one.

In: a planned video. Out: ``chunk_00.mp4`` ..., with exactly the chunk's frames at their own times. A clip that is
there is whole, and is kept. This file does not know who will read the clips.
"""

from pathlib import Path

from vda.errors import UsageError
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Chunk, Plan
from vda.video import ClipWriter, FrameIndex, VideoInfo, read_frame_list

# What a network sees should not depend on the coder: this is beyond what the eye can tell.
_OPTIONS = {"crf": "8", "preset": "veryfast"}


def extract_clips(
    video: VideoInfo,
    index: FrameIndex,
    plan: Plan,
    folder: Path,
    *,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> list[Path]:
    """Write the clips of independent chunks into ``folder``; ``reporter`` is told the frames written so far.

    Raises ``UsageError`` for linked chunks, which cannot be computed without the rest of the video.
    """
    if plan.chunking == "linked":
        raise UsageError(
            "Linked chunks need the whole video: as clips they would have another depth.",
            "Plan the video with --chunking independent.",
        )
    reporter = reporter or Silence()
    reporter.begin("writing clips", sum(chunk.stop - chunk.start for chunk in plan.chunks))
    paths, done = [], 0
    for chunk in plan.chunks:
        path = clip_path(folder, chunk)
        if overwrite or not path.exists():
            _write_clip(video, index, plan, chunk, path)
        done += chunk.stop - chunk.start
        paths.append(path)
        reporter.at(done)
    return paths


def clip_path(folder: Path, chunk: Chunk) -> Path:
    return folder / f"chunk_{chunk.index:02d}.mp4"


def _write_clip(video: VideoInfo, index: FrameIndex, plan: Plan, chunk: Chunk, path: Path) -> None:
    rate = index.frame_rate(video.fps)
    frames = [plan.frame(place) for place in range(chunk.start, chunk.stop)]
    with ClipWriter(
        path, fps=rate, time_base=index.time_base, options=_OPTIONS, pixel_aspect=video.pixel_aspect
    ) as clip:
        for frame in read_frame_list(video, index, frames):
            clip.write(frame.rgb, index.pts_of(frame.index))
