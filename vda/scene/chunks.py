"""The plan: a video's frames shared out as shots, sequences, chunks and windows.

In: the number of frames, the cuts, how many chunks are wanted. Out: an immutable ``Plan`` whose kept ranges tile
the video exactly once, and its form in ``chunks_metadata.json``. This file knows neither the video's pixels nor
where the plan is stored, and does not decide how many chunks are good for whom.

All ranges are half-open and count places: the video's frame indices, or, where only some frames of a video are
used (``FrameSelection``), places among these. In the file all are the video's frame indices.

``linked`` chunks share the anchor of their shot, so the depth is the same for any number of them. ``independent``
chunks are sequences of their own; neighbours share frames, over which a merger fits and blends them.
"""

import heapq
from bisect import bisect_left
from collections import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from vda.errors import InputError, SceneError, UsageError, VideoError
from vda.network.slots import WINDOW_SLOTS
from vda.records import Index, ShapeError, Side, Within, filled
from vda.scene.selection import FrameSelection
from vda.scene.windows import REFERENCE_SLOT, WINDOW_STEP, Window, kept_boundary, window_count

# Other programs write 0 where they could not tell.
_Fps = Annotated[float, Within(0, 1e6)]
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
        if self.selection is None:
            return f"{self.total_frames} frames"
        if not self.selection.thinning.leaves_out:
            return f"{len(self.frames)} frames, numbered {self.frames[0]} to {self.frames[-1]}"
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

    def to_metadata(self, video_info: Mapping[str, Any], devices: abc.Sequence[str | int] = ()) -> dict[str, Any]:
        """Return the JSON value of ``chunks_metadata.json``.

        ``gpu_assignment`` is a suggestion: ``devices`` in turn, or the chunk's index where none are named.
        """
        return {
            "video_info": {**video_info, "total_frames": self.total_frames},
            "num_chunks": len(self.chunks),
            "overlap_frames": self.overlap,
            "chunking": self.chunking,
            "frame_range": list(self.frame_range),
            **({} if self.selection is None else {"selection": self.selection.to_json()}),
            "sequences": [
                {
                    "index": seq.index,
                    "shot": seq.shot,
                    "start_frame": self.edge(seq.start),
                    "end_frame": self.edge(seq.stop),
                }
                for seq in self.sequences
            ],
            "chunks": [
                self._chunk_metadata(chunk, devices[chunk.index % len(devices)] if devices else chunk.index)
                for chunk in self.chunks
            ],
        }

    def _chunk_metadata(self, chunk: Chunk, device: str | int) -> dict[str, Any]:
        return {
            "chunk_id": chunk.index,
            "global_start_frame": self.edge(chunk.start),
            "global_end_frame": self.edge(chunk.stop),
            # Of the frames that are used, as a stack of the chunk's depth counts them.
            "num_frames": chunk.stop - chunk.start,
            "keep_start_local": chunk.keep_start - chunk.start,
            "keep_end_local": chunk.keep_stop - chunk.start,
            "gpu_assignment": device,
            "sequence": chunk.sequence.index,
            "window_start": chunk.window_start,
            "window_stop": chunk.window_stop,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Plan":
        """Read ``chunks_metadata.json``.

        A file without ``chunking`` is of the classic kind, where chunks were independent and the kept ranges did
        not tile the video; they are put in the middle of the overlaps.
        Raises ``InputError`` where something is missing or of the wrong type, ``SceneError`` where the ranges
        contradict each other.
        """
        try:
            plan = _read_plan(metadata) if "chunking" in metadata else _read_classic(metadata)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise InputError(
                f"The plan of the chunks cannot be read ({type(error).__name__}: {error}).", _REMEDY
            ) from error
        _check(plan)
        return plan


_REMEDY = "Plan the video again with `vda split`."


@dataclass(frozen=True)
class PlanVideo:
    """What a plan says of its video besides the number of frames; files of other programs may say nothing."""

    width: Side | None = None
    height: Side | None = None
    fps: _Fps | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        return (self.width, self.height) if self.width and self.height else None


def read_plan_video(metadata: Mapping[str, Any]) -> PlanVideo:
    """Read that of ``chunks_metadata.json``, or raise ``InputError``."""
    try:
        found: PlanVideo = filled(PlanVideo, metadata["video_info"], "video_info")
        return found
    except ShapeError as error:
        raise InputError(f"The plan does not say what video it is of: {error}.", _REMEDY) from error


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
    planned = tuple(_linked_chunk(index, *bound) for index, bound in enumerate(bounds))
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
    return Plan("independent", total_frames, frames, max(widths), sequences, _independent_chunks(sequences))


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


def _linked_chunk(index: int, sequence: Sequence, window_start: int, window_stop: int) -> Chunk:
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


def _independent_chunks(sequences: tuple[Sequence, ...]) -> tuple[Chunk, ...]:
    """One chunk a sequence; neighbours of one shot part in the middle of the frames they share."""
    middles = [(before.stop + after.start) // 2 for before, after in pairwise(sequences)]
    edges = [sequences[0].start, *middles, sequences[-1].stop]
    return tuple(
        Chunk(seq.index, seq, 0, seq.window_count, seq.start, seq.stop, keep_start, keep_stop)
        for seq, (keep_start, keep_stop) in zip(sequences, pairwise(edges), strict=True)
    )


def _integer(value: Any) -> int:
    # A film of many shots has tens of thousands, of which none needs the words for what is wrong.
    if type(value) is int and 0 <= value < 1 << 31:
        return value
    found: int = filled(Index, value, "a number")
    return found


def _read_plan(metadata: Mapping[str, Any]) -> Plan:
    if metadata["chunking"] not in get_args(Chunking):
        raise ValueError(f"chunking {metadata['chunking']!r}")
    first, stop = metadata["frame_range"]
    selection = FrameSelection.from_json(metadata["selection"]) if "selection" in metadata else None
    empty = Plan(
        metadata["chunking"],
        _integer(metadata["video_info"]["total_frames"]),
        (_integer(first), _integer(stop)),
        _integer(metadata["overlap_frames"]),
        (),
        (),
        selection,
    )
    sequences = tuple(_read_sequence(entry, empty) for entry in metadata["sequences"])
    chunks = tuple(_read_chunk(entry, sequences, empty) for entry in metadata["chunks"])
    return replace(empty, sequences=sequences, chunks=chunks)


def _read_sequence(entry: Mapping[str, Any], plan: Plan) -> Sequence:
    start, stop = (plan.place(_integer(entry[key])) for key in ("start_frame", "end_frame"))
    return Sequence(_integer(entry["index"]), _integer(entry["shot"]), start, stop)


def _read_chunk(entry: Mapping[str, Any], sequences: tuple[Sequence, ...], plan: Plan) -> Chunk:
    start = plan.place(_integer(entry["global_start_frame"]))
    return Chunk(
        _integer(entry["chunk_id"]),
        sequences[_integer(entry["sequence"])],
        _integer(entry["window_start"]),
        _integer(entry["window_stop"]),
        start,
        plan.place(_integer(entry["global_end_frame"])),
        start + _integer(entry["keep_start_local"]),
        start + _integer(entry["keep_end_local"]),
    )


def _read_classic(metadata: Mapping[str, Any]) -> Plan:
    total = _integer(metadata["video_info"]["total_frames"])
    sequences = tuple(
        Sequence(index, 0, _integer(entry["global_start_frame"]), _integer(entry["global_end_frame"]))
        for index, entry in enumerate(metadata["chunks"])
    )
    overlap = max((before.stop - after.start for before, after in pairwise(sequences)), default=0)
    frames = (sequences[0].start, sequences[-1].stop)
    return Plan("independent", total, frames, max(overlap, 0), sequences, _independent_chunks(sequences))


def _check(plan: Plan) -> None:
    """Raise ``SceneError`` unless the plan is what its own chunks, made anew, would be."""
    first, stop = plan.frame_range if plan.selection is None else (0, len(plan.selection.frames))
    kept = [first, *(chunk.keep_stop for chunk in plan.chunks)]
    sound = (
        0 <= plan.frame_range[0] < plan.frame_range[1]
        and len(plan.frames) <= plan.total_frames
        and _lies_in_video(plan)
        and [seq.index for seq in plan.sequences] == list(range(len(plan.sequences)))
        and [chunk.index for chunk in plan.chunks] == list(range(len(plan.chunks)))
        and [chunk.keep_start for chunk in plan.chunks] == kept[:-1]
        and kept[-1] == stop
        and all(_is_sound(chunk, plan.chunking) for chunk in plan.chunks)
    )
    if not sound:
        raise SceneError("The chunks of the plan do not cover each frame exactly once.", _REMEDY)


def _lies_in_video(plan: Plan) -> bool:
    if plan.selection is None:
        return plan.frame_range[1] <= plan.total_frames
    return plan.selection.is_of(plan.frame_range)


def _is_sound(chunk: Chunk, chunking: Chunking) -> bool:
    seq = chunk.sequence
    if not 0 <= chunk.window_start < chunk.window_stop <= seq.window_count:
        return False
    if chunking == "linked":
        return chunk == _linked_chunk(chunk.index, seq, chunk.window_start, chunk.window_stop)
    whole = (chunk.window_start, chunk.window_stop, chunk.start, chunk.stop) == (
        0,
        seq.window_count,
        seq.start,
        seq.stop,
    )
    return whole and chunk.start <= chunk.keep_start < chunk.keep_stop <= chunk.stop
