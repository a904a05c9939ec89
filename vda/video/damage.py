"""What is wrong with a video, in sentences for people: a file that was read to its end goes in, notes come out.

This file does not decide what to do about it.
"""

from fractions import Fraction

import numpy as np

from vda.video.decoding import OpenVideo
from vda.video.info import VideoInfo
from vda.video.opening import missing_bytes
from vda.video.rates import rising_times


def notes_on(source: OpenVideo, info: VideoInfo, pts: np.ndarray) -> tuple[str, ...]:
    """What is wrong with the file, one sentence each; ``pts`` int64 [n] are the times of its frames as stored."""
    notes = []
    missing = source.packets_seen < info.claimed_frames
    if _ends_early(source, pts, missing):
        notes.append("The file is cut off before its end; all frames up to the break are used.")
    elif len(pts) < info.claimed_frames and not source.damaged:
        notes.append(
            f"The container counts {info.claimed_frames} frames and shows {len(pts)}: "
            "an edit list hides the others, or they were never stored."
        )
    if source.read_errors:
        notes.append(f"The file could not be read in {_count(source.read_errors, 'place')}.")
    if source.refused_packets:
        notes.append(
            f"The video is damaged: {_count(source.refused_packets, 'packet')} did not decode and gave no picture."
        )
    if source.missing_pictures:
        notes.append(f"{_count(source.missing_pictures, 'packet')} gave no picture: damaged, or hidden by design.")
    if source.corrupt_frames:
        notes.append(f"The video is damaged: {_count(source.corrupt_frames, 'frame')} decoded incompletely.")
    return (*notes, *_notes_on_times(pts))


def _notes_on_times(pts: np.ndarray) -> list[str]:
    rising, set_back = rising_times(pts)
    if set_back:
        places = f"in {len(set_back)} places, the first" if len(set_back) > 1 else "once,"
        return [f"The clock of the file jumps back {places} at frame {set_back[0]}: times go on from there."]
    wrong = int((rising != pts).sum())
    return [f"The times of {_count(wrong, 'frame')} do not rise: shown one tick after the last."] if wrong else []


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _ends_early(source: OpenVideo, pts: np.ndarray, missing: bool) -> bool:
    """Whether the file is shorter than it says, in bytes where it says that, else in time.

    Containers round their durations, and a last frame may be shown for long; where frames are known to be
    ``missing``, half a step too early is enough. What the duration of Matroska counts from depends on who wrote
    it, and AVI counts places that hold no picture.
    """
    lacking = missing_bytes(source.path)
    if lacking or (lacking == 0 and source.format_name in ("matroska,webm", "avi")):
        return bool(lacking)
    if source.claimed_end is None or len(pts) < 2:
        return missing
    step = int(pts[-1] - pts[-2]) * source.time_base
    gap = source.claimed_end - (int(pts[-1]) * source.time_base + step)
    return gap > (step / 2 if missing else max(Fraction(1), 3 * step))
