"""Where the files that a table names are, and which files a video becomes: the one place that makes paths.

In: what a row says. Out: a path that exists, or the name of an output. This file does not know what is in files.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from unicodedata import normalize

from vda.errors import InputError
from vda.files import temporary_beside
from vda.records import NAME_BYTES, is_nameable
from vda.splitting.inputs import VIDEO_SUFFIXES
from vda.stills.naming import is_pattern

DEPTH_ENDING = "_depth.mkv"
TRACKS_ENDING = "_tracks.json"
TIMES_ENDING = "_times.json"
_LONGEST_ENDING = "_depth.json"
_HASH_DIGITS = 16


def video_id(video_path: str, original_video: str | None) -> str:
    """What all files made of one original have in common: the original's name, else the video's own.

    Only what is known as a video's suffix is taken off, for ``original_video`` may be an identifier with dots.
    """
    name = PurePath(slashed(original_video or video_path)).name
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in VIDEO_SUFFIXES else name


def slashed(stated: str) -> str:
    """A path of Windows with the slashes of all others."""
    return PureWindowsPath(stated).as_posix() if "\\" in stated else stated


def scaled_name(video_id: str, augmentation_idx: int | None) -> str:
    """The scaled video's file; ``augmentation_idx`` is None for an original."""
    return f"{_short(video_id, augmentation_idx)}_scaled_{_part(augmentation_idx)}.mp4"


def depth_name(video_id: str, augmentation_idx: int | None) -> str:
    """The file of scaled depth, beside the scaled video's."""
    return scaled_name(video_id, augmentation_idx).removesuffix(".mp4") + DEPTH_ENDING


def tracks_name(video_id: str, augmentation_idx: int | None) -> str:
    """The file of scaled tracks; an augmentation's says which, or it would be written over its original's."""
    part = "" if augmentation_idx is None else f"_{_part(augmentation_idx)}"
    return f"{_short(video_id, augmentation_idx)}{part}{TRACKS_ENDING}"


def times_name(video_id: str, augmentation_idx: int | None) -> str:
    """The file of frame times, beside the scaled video's."""
    return scaled_name(video_id, augmentation_idx).removesuffix(".mp4") + TIMES_ENDING


def _short(video_id: str, augmentation_idx: int | None) -> str:
    """``video_id``, cut and told apart by its hash where a name made of it would be too long.

    Files are written under temporary names, which are longer still.
    """
    ending = f"_scaled_{_part(augmentation_idx)}{_LONGEST_ENDING}"
    # The disk is not asked what it allows, for folders are copied to others.
    room = NAME_BYTES - len(temporary_beside(Path(ending)).name)
    whole = video_id.encode()
    if len(whole) <= room:
        return video_id
    digest = hashlib.sha256(whole).hexdigest()[:_HASH_DIGITS]
    return f"{whole[: room - _HASH_DIGITS - 1].decode(errors='ignore')}-{digest}"


def _part(augmentation_idx: int | None) -> str:
    return "original" if augmentation_idx is None else f"aug{augmentation_idx}"


@dataclass(frozen=True)
class Places:
    """Where relative paths are looked for: beside the ``metadata``, then under ``root``."""

    metadata: Path
    root: Path | None = None

    def video(self, stated: str) -> Path:
        """The video a row names, or the same name with another video's ending, for conversions change it.

        Raises ``InputError`` naming what was looked for.
        """
        for path in self._candidates(stated):
            if _exists(path) or (is_nameable(path) and is_pattern(path) and path.parent.is_dir()):
                return path
        for path in self._candidates(stated):
            for suffix in VIDEO_SUFFIXES:
                if _exists(other := path.with_name(path.stem + suffix)) and other.is_file():
                    return other
        raise self._absent("video", stated)

    def other(self, kind: str, stated: str, *, may_be_absent: bool = False) -> Path:
        """The file or folder of another ``kind`` (a scene, tracks) that a row names.

        What ``may_be_absent`` is to be made beside the metadata; for all else ``InputError`` is raised.
        """
        for path in self._candidates(stated):
            if _exists(path):
                return path
        if may_be_absent and is_nameable(first := next(self._candidates(stated))):
            return first
        raise self._absent(kind, stated)

    def _candidates(self, stated: str) -> Iterator[Path]:
        for spelling in _spellings(stated):
            # Joined to an absolute path, a folder does not count.
            yield self.metadata.parent / spelling
            if self.root is not None:
                yield self.root / spelling

    def _absent(self, kind: str, stated: str) -> InputError:
        if _is_windows(stated):
            folders = " or ".join(
                str(folder) for folder in (self.metadata.parent, self.root) if folder is not None
            )
            return InputError(
                f"There is no {kind} for the Windows path {stated} in {folders}.",
                "Give as --root the folder that holds what the path names, or correct the path in the metadata.",
            )
        looked = " and ".join(str(path) for path in dict.fromkeys(self._candidates(stated)))
        return InputError(f"There is no {kind} {looked}.", "Correct the path in the metadata, or give --root.")


def _is_windows(stated: str) -> bool:
    return "\\" in stated or PureWindowsPath(stated).is_absolute()


def _exists(path: Path) -> bool:
    return is_nameable(path) and path.exists()


def _spellings(stated: str) -> Iterator[str]:
    """``stated`` and what else it may be called on this machine: by other slashes, or letters composed otherwise.

    Of a path with a drive, the drive and then folders are left out, but for the last: by names alone, videos of
    different folders would be taken for each other.
    """
    ways = [stated]
    if _is_windows(stated):
        path = PureWindowsPath(stated)
        parts = path.parts[1:] if path.drive or path.root else path.parts
        most = max(1, len(parts) - 1) if path.drive else 1
        ways += ["/".join(parts[skipped:]) for skipped in range(most)]
    for form in ("NFC", "NFD"):
        ways += [normalize(form, way) for way in ways]
    yield from dict.fromkeys(ways)
