"""``chunks_metadata.json``: a plan as a file, with the names that existing scripts read.

In: a plan, or the file's JSON value, the classic one too. Out: the other of the two. All ranges in the file are
the video's frame indices. A plan that is read is held against the chunks that its numbers would give: this file
knows how a plan is made, and not what is done with it.
"""

from collections import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, get_args

from vda.errors import InputError, SceneError
from vda.records import Index, ShapeError, Side, Within, filled
from vda.scene.chunks import Chunk, Chunking, Plan, Sequence, independent_chunks, linked_chunk
from vda.scene.selection import FrameSelection

# Other programs write 0 where they could not tell.
_Fps = Annotated[float, Within(0, 1e6)]
_REMEDY = "Remove the plan's file and plan the video again with 'vda split'."


def plan_metadata(
    plan: Plan, video_info: Mapping[str, Any], devices: abc.Sequence[str | int] = ()
) -> dict[str, Any]:
    """Return the JSON value of ``chunks_metadata.json``.

    ``gpu_assignment`` is a suggestion: ``devices`` in turn, or the chunk's index where none are named.
    """
    return {
        "video_info": {**video_info, "total_frames": plan.total_frames},
        "num_chunks": len(plan.chunks),
        "overlap_frames": plan.overlap,
        "chunking": plan.chunking,
        "frame_range": list(plan.frame_range),
        **({} if plan.selection is None else {"selection": plan.selection.to_json()}),
        "sequences": [
            {
                "index": seq.index,
                "shot": seq.shot,
                "start_frame": plan.edge(seq.start),
                "end_frame": plan.edge(seq.stop),
            }
            for seq in plan.sequences
        ],
        "chunks": [
            _chunk_metadata(plan, chunk, devices[chunk.index % len(devices)] if devices else chunk.index)
            for chunk in plan.chunks
        ],
    }


def _chunk_metadata(plan: Plan, chunk: Chunk, device: str | int) -> dict[str, Any]:
    return {
        "chunk_id": chunk.index,
        "global_start_frame": plan.edge(chunk.start),
        "global_end_frame": plan.edge(chunk.stop),
        # Of the frames that are used, as a stack of the chunk's depth counts them.
        "num_frames": chunk.stop - chunk.start,
        "keep_start_local": chunk.keep_start - chunk.start,
        "keep_end_local": chunk.keep_stop - chunk.start,
        "gpu_assignment": device,
        "sequence": chunk.sequence.index,
        "window_start": chunk.window_start,
        "window_stop": chunk.window_stop,
    }


def read_plan(metadata: Mapping[str, Any]) -> Plan:
    """Read ``chunks_metadata.json``.

    A file without ``chunking`` is of the classic kind, where chunks were independent and the kept ranges did
    not tile the video; they are put in the middle of the overlaps.
    Raises ``InputError`` where something is missing or of the wrong type, ``SceneError`` where the ranges
    contradict each other.
    """
    try:
        plan = _read_own(metadata) if "chunking" in metadata else _read_classic(metadata)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(
            f"The plan of the chunks cannot be read ({type(error).__name__}: {error}).", _REMEDY
        ) from error
    _check(plan)
    return plan


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


def _integer(value: Any) -> int:
    # A film of many shots has tens of thousands, of which none needs the words for what is wrong.
    if type(value) is int and 0 <= value < 1 << 31:
        return value
    found: int = filled(Index, value, "a number")
    return found


def _read_own(metadata: Mapping[str, Any]) -> Plan:
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
    return Plan("independent", total, frames, max(overlap, 0), sequences, independent_chunks(sequences))


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
        return chunk == linked_chunk(chunk.index, seq, chunk.window_start, chunk.window_stop)
    whole = (chunk.window_start, chunk.window_stop, chunk.start, chunk.stop) == (
        0,
        seq.window_count,
        seq.start,
        seq.stop,
    )
    return whole and chunk.start <= chunk.keep_start < chunk.keep_stop <= chunk.stop
