"""A merge in parts that several processes and machines can make: fits, ranges of frames, and the end.

In: a scene that all of them see. Out: the very files that ``merge`` writes. The first part fits the windows to
each other once and finds the range of all values; each range of frames makes its images of that, in blocks that
are kept once they are whole; the end looks that all are there, writes what takes the frames in order, and the
record. A range may be made twice, at once or after a kill: frames are made of windows alone, so the bytes are the
same. This file does not know who starts which part.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from vda.depthmaps.usage import CodeUse
from vda.errors import SceneError, UsageError, WorkError
from vda.files import write_json
from vda.joining.scenedepth import Found
from vda.machine.locks import exclusive_lock
from vda.merging.fits import (
    Fits,
    asked_in_parts,
    block_size,
    blocks_in,
    image_formats,
    marks_of,
    missing_blocks,
    parts_left,
    read_fits,
    same_asked,
)
from vda.merging.frames import FrameBlock, FrameLine, Tally, images_of, write_rest
from vda.merging.outputs import IMAGE_FORMATS, Outputs, image_path
from vda.merging.request import only
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stage import MergeAsked, alone, joined, target_of
from vda.merging.target import MergedFrame
from vda.merging.workplace import PartFiles, settle
from vda.merging.writing import FirstPass, MergeWork, start_over, told_of, work_of, write_record
from vda.reporter import Reporter, Silence
from vda.scene.scene import Scene
from vda.shown import counted, quoted

Part = Literal["fits", "end"] | tuple[int, int]
"""The first and the last part, or range I of N, counted from 0."""

# Of a range that is told to end, before a block of it is whole; as many as chunks have.
_RETRIES: Final = 3


class PartStoppedError(WorkError):
    """A range that was told to end, and goes on behind the blocks that it has once it is started again."""

    # As of tasks of chunks (sysexits.h: EX_TEMPFAIL).
    exit_code = 75


def merge_part(
    scene: Scene,
    part: Part,
    settings: MergeSettings | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Make one part of a merge of ``scene``: ``fits`` first, ranges of frames in any order, and ``end`` last.

    Only the first takes ``settings``; the others go on with these, and refuse others that are given. The result of
    ``fits`` and of a range is about the folder and frames of that part. Raises what ``merge`` does, and
    ``UsageError`` for what is not made by frame, ``SceneError`` where the fits are not there or of something that
    changed since, ``WorkError`` where the end finds frames missing. A range that ``should_stop`` raises
    ``PartStoppedError``, or ``WorkError`` where it was told so again and again before it had a block more.
    """
    reporter = reporter or Silence()
    if part == "fits":
        return _find_fits(scene, settings or MergeSettings(), reporter)
    if settings not in (None, MergeSettings()):
        fits = read_fits(PartFiles.of(scene))
        if fits is not None and fits.settings != settings:
            raise UsageError(
                "The merge in parts was begun with other options.",
                "Leave them out: all parts go on with what --part fits was given.",
            )
    return _end(scene, reporter) if part == "end" else _make_range(scene, *part, should_stop, reporter)


def _find_fits(scene: Scene, settings: MergeSettings, reporter: Reporter) -> MergeResult:
    files = PartFiles.of(scene)
    with alone(scene.root, in_parts=True):
        left = parts_left(scene, settings)
        if isinstance(left, MergeResult):
            return left
        if left.fits is not None:
            return MergeResult(files.images(left.fits.token), 0, ("The fits are there already.",))
    with alone(scene.root):
        settle(scene.merged_dir)
        asked = asked_in_parts(scene, settings)
        if isinstance(asked, MergeResult):
            return asked
        files.discard()
        reporter.begin("aligning", None)
        marks = marks_of(scene, asked)
        depth, _ = joined(scene, asked)
        first = FirstPass.of(depth, asked.request.settings, asked.calibration)
        fits = Fits(uuid.uuid4().hex[:12], marks, settings, block_size(len(depth.frames)), first, Found.of(depth))
        # What the end would refuse, before anybody makes an image.
        _work(scene, asked, fits)
        write_json(files.fits_path, asdict(fits))
        return MergeResult(files.images(fits.token), len(depth.frames), asked.request.remarks)


def _make_range(
    scene: Scene, index: int, count: int, should_stop: Callable[[], bool], reporter: Reporter
) -> MergeResult:
    if not 0 <= index < count:
        raise UsageError(f"There is no part {index} of {count}.", "Count them from 0: --part 0/3, 1/3 and 2/3.")
    with alone(scene.root, in_parts=True):
        files = PartFiles.of(scene)
        state, fits = files.state(), read_fits(files)
        if fits is None:
            return _merged_or_refused(scene)
        asked = same_asked(scene, fits)
        work = _work(scene, asked, fits, images_only=True)
        blocks = fits.blocks_of(work.depth.frames)
        own = blocks_in(index, count, len(blocks))
        to_do = missing_blocks(files, fits, asked, own)
        frames = [frame for number in to_do for frame in blocks[number]]
        reporter.begin("writing depth", len(frames))
        coming = images_of(work.depth, _outputs_of(scene, work, frames), frames)
        for number in to_do:
            gathered = _gathered(scene, files, state, islice(coming, len(blocks[number])), should_stop)
            if gathered is None:
                vain = files.told_to_end(fits.token, index, count, in_vain=number == to_do[0])
                raise _stopped(f"Range {index} of {count} of the merge of {scene.root}", vain)
            gathered.write(files.block_path(fits.token, number))
            reporter.at(sum(len(blocks[each]) for each in to_do if each <= number))
        return MergeResult(files.images(fits.token), sum(len(blocks[number]) for number in own))


def _stopped(range_name: str, vain: int) -> WorkError:
    if vain > _RETRIES:
        return WorkError(
            f"{range_name} was told to end {vain} times in a row before a block of frames was whole.",
            "Give its jobs more time, such as --slurm time=2:00:00, or a place where they are not ended so soon.",
        )
    return PartStoppedError(f"{range_name} was told to end.", "Start it again: it goes on behind what it has.")


def _gathered(
    scene: Scene,
    files: PartFiles,
    state: tuple[int, int] | None,
    made: Iterator[MergedFrame],
    should_stop: Callable[[], bool],
) -> FrameBlock | None:
    """What the frames ``made`` come to; None where it is to stop first.

    Raises ``SceneError`` once the merge that they are of is no longer there.
    """
    lines, use = [], CodeUse()
    for frame in made:
        # A block of large frames may take longer than a scheduler waits.
        if should_stop():
            return None
        if files.state() != state:
            raise SceneError(
                f"The merge of {scene.root} that this part is of has ended, or was begun anew.",
                "This part has nothing to do any more; 'vda status' says what there is.",
            )
        lines.append(FrameLine.of(frame))
        if frame.counts is not None:
            use.add_counts(frame.counts)
    return FrameBlock(tuple(lines), use.counts)


def _end(scene: Scene, reporter: Reporter) -> MergeResult:
    files = PartFiles.of(scene)
    # Beside ranges that still run: all is there, so that they make again what they made.
    with alone(scene.root, in_parts=True), exclusive_lock(files.end_lock) as ours:
        if not ours:
            raise _ended_elsewhere(scene)
        fits = read_fits(files)
        if settle(scene.merged_dir) or fits is None:
            result = _merged_or_refused(scene)
            files.discard()
            return result
        redone, asked = scene.redone_chunks(), same_asked(scene, fits)
        blocks = fits.blocks_of(asked.plan.frames)
        _require_all(scene, [blocks[number] for number in missing_blocks(files, fits, asked, range(len(blocks)))])
        work = _work(scene, asked, fits)
        found = (FrameBlock.read(files.block_path(fits.token, number)) for number in range(len(blocks)))
        tally = _written_in_order(work, found, reporter)
        replace(work.meaning, replaces=asked.request.replaces).write(work.outputs.target.folder)
        record = write_record(work, tally)
        some = [image_path(Path(), name, frames[0]) for name in image_formats(asked) for frames in blocks]
        if (taken := files.take(fits.token, some)) is None:
            raise _ended_elsewhere(scene)
        if not asked.request.is_beside:
            start_over(scene.merged_dir)
        files.hand_over(taken)
        settle(scene.merged_dir)
        scene.forget_redone(redone)
        files.discard()
        return told_of(work, record)


def _ended_elsewhere(scene: Scene) -> SceneError:
    return SceneError(
        f"The merge of {scene.root} is being ended by another command.", "Wait until that one has ended."
    )


def _require_all(scene: Scene, missing: list[Sequence[int]]) -> None:
    """Raise ``WorkError`` naming the frames that are not there."""
    if missing:
        some = ", ".join(f"{frames[0]} to {frames[-1]}" for frames in missing[:5])
        raise WorkError(
            f"{counted(sum(map(len, missing)), 'frame')} of {scene.root} are not merged yet, or no longer whole: "
            f"{some}{' ...' if missing[5:] else ''}.",
            f"Make their part first, or all that is left with 'vda merge {quoted(scene.root)} --part 0/1'.",
        )


def _written_in_order(work: MergeWork, found: Iterable[FrameBlock | None], reporter: Reporter) -> Tally:
    """Write stacks and videos; what all frames come to is known already where there are none."""
    tally, finished = Tally(), dict[int, FrameLine]()
    for block in found:
        assert block is not None
        tally.add_block(block)
        finished |= {line.index: line for line in block.lines}
    outputs = work.outputs
    rest = tuple(name for name in outputs.formats if name == "png16" or name not in IMAGE_FORMATS)
    if rest in ((), ("png16",)) and outputs.look is None and outputs.stereo is None:
        return tally
    return write_rest(work.depth, replace(outputs, formats=rest), finished, reporter)


def _work(scene: Scene, asked: MergeAsked, fits: Fits, *, images_only: bool = False) -> MergeWork:
    """What is made of the fits, in this merge's own folder; of ``images_only`` what is made frame by frame."""
    request, folder = asked.request, PartFiles.of(scene).images(fits.token)
    if images_only:
        names = tuple(name for name in request.settings.formats if name in IMAGE_FORMATS)
        request = replace(request, settings=only(request.settings, names, video=False))
    depth, origin = joined(scene, asked, fits.found)
    target = target_of(scene, depth, request.settings)
    return work_of(target, depth, fits.first, origin, request, asked.calibration, folder)


def _outputs_of(scene: Scene, work: MergeWork, frames: Sequence[int]) -> Outputs:
    """The outputs of ``frames`` alone."""
    target = target_of(scene, work.depth, work.request.settings, work.outputs.target.folder, frames)
    return replace(work.outputs, target=target)


def _merged_or_refused(scene: Scene) -> MergeResult:
    if scene.depth_record_path.is_file():
        return MergeResult(scene.merged_dir, len(scene.plan().frames), ("The depth was already merged.",))
    raise SceneError(
        f"The windows of {scene.root} are not fitted to each other yet.",
        f"Run 'vda merge {quoted(scene.root)} --part fits' first.",
    )
