"""The plan: a video's frames shared out as shots, sequences, chunks and windows.

In: the number of frames, the cuts, how many chunks are wanted. Out: an immutable ``Plan`` whose kept ranges tile
the video exactly once. This file knows neither the video's pixels nor how the plan is stored (``planfile``), and
does not decide how many chunks are good for whom.

All ranges are half-open and count places: the video's frame indices, or, where only some frames of a video are
used (``FrameSelection``), places among these.

``linked`` chunks share the anchor of their shot, so the depth is the same for any number of them. ``independent``
chunks are sequences of their own; neighbours share frames, over which a merger fits and blends them.
"""

import heapq
from bisect import bisect_left
from collections import abc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from vda.errors import UsageError, VideoError
from vda.network.slots import WINDOW_SLOTS
from vda.scene.selection import FrameSelection
from vda.scene.windows import REFERENCE_SLOT, WINDOW_STEP, Window, kept_boundary, window_count
from vda.shown import counted

Chunking = Literal["linked", "independent"]
FrameRange = tuple[int, int]


@dataclass(frozen=True)
class Sequence:
    """Frames that share one anchor, the first of them: a whole shot (linked) or one chunk (independent)."""

    index: int
    shot: int
    start: int
    stop: int

    @property
    def window_count(self) -> int:
        return window_count(self.stop - self.start)


@dataclass(frozen=True)
class Chunk:
    """Windows ``window_start`` .. ``window_stop`` of one sequence: what is handed to one device.

    ``start`` .. ``stop`` are the frames it reads, apart from the sequence's first frame, which every window of the
    sequence reads too. ``keep_start`` .. ``keep_stop`` are the frames that are its own in the merged video.
    """

    index: int
    sequence: Sequence
    window_start: int
    window_stop: int
    start: int
    stop: int
    keep_start: int
    keep_stop: int

    def windows(self) -> Iterator[Window]:
        """Yield the chunk's windows in the order of joining."""
        for k in range(self.window_start, self.window_stop):
            yield Window(self.sequence.start, self.sequence.stop, k)

    def settled(self, window: Window) -> int:
        """How many frames of the merged video are final with ``window``: what a neighbour keeps does not count."""
        kept = window.kept
        return len(range(max(kept.start, self.keep_start), min(kept.stop, self.keep_stop)))


@dataclass(frozen=True)
class Overlap:
    """The frames that two neighbouring independent chunks of one shot share."""

    before: Chunk
    after: Chunk
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """Who computes what. ``overlap`` is what independent neighbours share where their shot has room for it.

    ``total_frames`` and ``frame_range`` are the video's. Of a range that is thinned out, and of images with
    numbers of their own (which may lie above ``total_frames``), ``selection`` has the frames used; sequences,
    chunks and windows then count places among them.
    """

    chunking: Chunking
    total_frames: int
    frame_range: FrameRange
    overlap: int
    sequences: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]
    selection: FrameSelection | None = None

    @property
    def frames(self) -> abc.Sequence[int]:
        """The video's indices of the frames that are used, in order."""
        return range(*self.frame_range) if self.selection is None else self.selection.frames

    def frame(self, place: int) -> int:
        """The video's index of the frame at ``place``."""
        return place if self.selection is None else self.selection.frames[place]

    def edge(self, place: int) -> int:
        """``place`` as the edge of a range, in the video's indices: where the next frame used begins."""
        if self.selection is None:
            return place
        return self.selection.frames[place] if place < len(self.selection.frames) else self.frame_range[1]

    def place(self, frame: int) -> int:
        """The place of the video's frame ``frame``, or of the first behind it that is used."""
        return frame if self.selection is None else bisect_left(self.selection.frames, frame)

    def neighbours(self) -> list[tuple[int, int]]:
        """Frames used one after the other, with no cut between them, as the video's indices."""
        return [
            (self.frame(place), self.frame(place + 1))
            for start, stop in self.shots
            for place in range(start, stop - 1)
        ]

    def count_words(self) -> str:
        """How many frames are used, and of how many: ``30 of 90 frames (one frame in 3)``."""
        first, stop = self.frame_range
        if self.selection is None and stop - first < self.total_frames:
            return f"{stop - first} of {self.total_frames} frames ({first} to {stop - 1})"
        if self.selection is None:
            return counted(self.total_frames, "frame")
        if not self.selection.thinning.leaves_out:
            return f"{counted(len(self.frames), 'frame')}, numbered {self.frames[0]} to {self.frames[-1]}"
        # Of images the range may have gaps.
        among = min(stop - first, self.total_frames)
        return f"{len(self.frames)} of {among} frames ({self.selection.thinning})"

    def thinned(self, total_frames: int, frame_range: FrameRange, selection: FrameSelection) -> "Plan":
        """This plan of as many frames as ``selection`` has, as one of a video that they are picked from."""
        return replace(self, total_frames=total_frames, frame_range=frame_range, selection=selection)

    def windows(self) -> Iterator[Window]:
        """Yield every window of the plan, sequence by sequence, in the order of joining."""
        for chunk in self.chunks:
            yield from chunk.windows()

    @property
    def shots(self) -> tuple[FrameRange, ...]:
        """The frames between cuts, as far as they are used; in places."""
        starts = {seq.shot: seq.start for seq in reversed(self.sequences)}
        stops = {seq.shot: seq.stop for seq in self.sequences}
        return tuple((starts[shot], stops[shot]) for shot in sorted(starts))

    def overlaps(self) -> tuple[Overlap, ...]:
        """Return where independent neighbours meet; a hard cut between them (overlap 0) is not listed."""
        if self.chunking == "linked":
            return ()
        return tuple(
            Overlap(before, after, after.start, before.stop)
            for before, after in pairwise(self.chunks)
            if before.sequence.shot == after.sequence.shot and after.start < before.stop
        )


def plan_linked(
    total_frames: int,
    chunks: int,
    *,
    frame_range: FrameRange | None = None,
    shots: abc.Sequence[FrameRange] | None = None,
) -> Plan:
    """Plan ``chunks`` chunks of whole windows that share the anchors of their shot.

    There are never fewer chunks than shots nor more than windows. ``shots`` are ranges of the whole video
    (default: one), cut to ``frame_range``. Raises ``UsageError`` for numbers and ranges that make no sense.
    """
    frames, sequences = _shot_sequences(total_frames, chunks, frame_range, shots)
    shares = _share_out(chunks, [seq.window_count for seq in sequences])
    bounds = [
        (seq, seq.window_count * i // share, seq.window_count * (i + 1) // share)
        for seq, share in zip(sequences, shares, strict=True)
        for i in range(share)
    ]
    planned = tuple(linked_chunk(index, *bound) for index, bound in enumerate(bounds))
    return Plan("linked", total_frames, frames, 0, sequences, planned)


def plan_independent(
    total_frames: int,
    chunks: int,
    overlap: int,
    *,
    frame_range: FrameRange | None = None,
    shots: abc.Sequence[FrameRange] | None = None,
) -> Plan:
    """Plan ``chunks`` chunks of even length of which neighbours share ``overlap`` frames.

    In a shot too short for that the overlap shrinks, so that no frame belongs to three chunks. It does not shrink
    to 0 unless 0 was asked for, which makes hard cuts: there are fewer chunks instead. Never fewer chunks than
    shots. Raises ``UsageError`` for numbers and ranges that make no sense.
    """
    if overlap < 0:
        raise UsageError(f"An overlap of {overlap} frames is not possible.", "Give --overlap 0 or more.")
    frames, shot_sequences = _shot_sequences(total_frames, chunks, frame_range, shots)
    lengths = [seq.stop - seq.start for seq in shot_sequences]
    shares = _share_out(chunks, [max(1, length - 1) if overlap else length for length in lengths])
    widths = [min(overlap, length // (share + 1)) for length, share in zip(lengths, shares, strict=True)]
    ranges = [
        (seq.shot, start, stop)
        for seq, share, width in zip(shot_sequences, shares, widths, strict=True)
        for start, stop in _even_ranges(seq.start, seq.stop, share, width)
    ]
    sequences = tuple(Sequence(index, *shot_range) for index, shot_range in enumerate(ranges))
    return Plan("independent", total_frames, frames, max(widths), sequences, independent_chunks(sequences))


def frames_within(frame_range: FrameRange | None, total_frames: int) -> FrameRange:
    """The range, by default all frames; ``UsageError`` where the video does not have it."""
    if total_frames < 1:
        raise VideoError("The video has no frames.", "Check that the file is a video that plays.")
    first, stop = frame_range or (0, total_frames)
    if not 0 <= first < stop <= total_frames:
        raise UsageError(
            f"The frames {first}:{stop} are not in the video, which has {total_frames} frames.",
            f"Give --frames A:B with 0 <= A < B <= {total_frames}.",
        )
    return first, stop


def _shot_sequences(
    total_frames: int, chunks: int, frame_range: FrameRange | None, shots: abc.Sequence[FrameRange] | None
) -> tuple[FrameRange, tuple[Sequence, ...]]:
    """Check what was asked; return the frames to work on and one sequence a shot in them."""
    if chunks < 1:
        raise UsageError(f"{chunks} chunks are not possible.", "Give --chunks 1 or more.")
    first, stop = frames_within(frame_range, total_frames)
    clipped = [(max(a, first), min(b, stop)) for a, b in shots or [(0, total_frames)] if a < stop and b > first]
    edges = [first, *(b for _, b in clipped)]
    if edges[-1] != stop or clipped != list(pairwise(edges)) or sorted(set(edges)) != edges:
        raise UsageError(
            f"The shots do not follow each other from frame {first} to frame {stop}.",
            "List each shot once, in order, from the first frame to the last.",
        )
    return (first, stop), tuple(Sequence(i, i, a, b) for i, (a, b) in enumerate(clipped))


def _share_out(chunks: int, capacities: abc.Sequence[int]) -> list[int]:
    """Give every shot one chunk, and each further one to the shot whose chunks are longest, up to its capacity."""
    shares = [1] * len(capacities)
    heap = [(-float(capacity), shot) for shot, capacity in enumerate(capacities) if capacity > 1]
    heapq.heapify(heap)
    for _ in range(min(chunks, sum(capacities)) - len(capacities)):
        _, shot = heapq.heappop(heap)
        shares[shot] += 1
        if shares[shot] < capacities[shot]:
            heapq.heappush(heap, (-capacities[shot] / shares[shot], shot))
    return shares


def _even_ranges(start: int, stop: int, chunks: int, overlap: int) -> Iterator[FrameRange]:
    # Laid end to end the chunks are as long as the shot plus one overlap a joint; that length is divided evenly.
    laid_out = stop - start + (chunks - 1) * overlap
    for i in range(chunks):
        shift = start - i * overlap
        yield laid_out * i // chunks + shift, laid_out * (i + 1) // chunks + shift


def linked_chunk(index: int, sequence: Sequence, window_start: int, window_stop: int) -> Chunk:
    # Slot 1 of the first window is the earliest frame read, besides the sequence's own first.
    before = WINDOW_STEP * (window_start - 1) + REFERENCE_SLOT if window_start else 0
    after = WINDOW_STEP * (window_stop - 1) + WINDOW_SLOTS
    is_last = window_stop == sequence.window_count
    return Chunk(
        index,
        sequence,
        window_start,
        window_stop,
        start=sequence.start + before,
        stop=min(sequence.start + after, sequence.stop),
        keep_start=sequence.start + kept_boundary(window_start),
        keep_stop=sequence.stop if is_last else sequence.start + kept_boundary(window_stop),
    )


def independent_chunks(sequences: tuple[Sequence, ...]) -> tuple[Chunk, ...]:
    """One chunk a sequence; neighbours of one shot part in the middle of the frames they share."""
    middles = [(before.stop + after.start) // 2 for before, after in pairwise(sequences)]
    edges = [sequences[0].start, *middles, sequences[-1].stop]
    return tuple(
        Chunk(seq.index, seq, 0, seq.window_count, seq.start, seq.stop, keep_start, keep_stop)
        for seq, (keep_start, keep_stop) in zip(sequences, pairwise(edges), strict=True)
    )
