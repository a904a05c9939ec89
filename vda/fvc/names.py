"""Which files a video of the data set becomes: names alone, made of what its row says.

This file knows neither tables nor folders.
"""

from pathlib import PurePath

VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".3gp", ".ogv",
)  # fmt: skip
DEPTH_ENDING = "_depth.mkv"
TRACKS_ENDING = "_tracks.json"


def video_id(video_path: str, original_video: str | None) -> str:
    """What all files made of one original have in common: the original's name, else the video's own.

    Only what is known as a video's suffix is taken off, for ``original_video`` may be an identifier with dots.
    """
    name = PurePath(original_video or video_path).name
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in VIDEO_SUFFIXES else name


def scaled_name(video_id: str, augmentation_idx: int | None) -> str:
    """The scaled video's file; ``augmentation_idx`` is None for an original."""
    return f"{video_id}_scaled_{_part(augmentation_idx)}.mp4"


def depth_name(video_id: str, augmentation_idx: int | None) -> str:
    """The file of scaled depth, beside the scaled video's."""
    return scaled_name(video_id, augmentation_idx).removesuffix(".mp4") + DEPTH_ENDING


def tracks_name(video_id: str, augmentation_idx: int | None) -> str:
    """The file of scaled tracks; an augmentation's says which, or it would be written over its original's."""
    part = "" if augmentation_idx is None else f"_{_part(augmentation_idx)}"
    return f"{video_id}{part}{TRACKS_ENDING}"


def _part(augmentation_idx: int | None) -> str:
    return "original" if augmentation_idx is None else f"aug{augmentation_idx}"
