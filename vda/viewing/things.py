"""What tracks have in a frame, in pixels of the depth image: boxes and points with names.

In go a track file and the film it is of; out come plain lists, frame by frame. Tracks that cannot be of this film
are refused: boxes over another film's pictures would be wrong in silence. This file does not know pages.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import centre_to_corner, resized
from vda.camera.intrinsics import same_shape
from vda.errors import InputError
from vda.tracks import Asked, Tracks, read_tracks
from vda.viewing.film import Film

# Where ``make enrich`` and the manual put the tracks of a scene.
OWN_TRACKS: Final = "tracks_3d.json"
_WRONG_FILM: Final = "Check that the tracks belong to this film, and with --frame-base how they count frames."
# A longer one covers the picture.
_LONGEST_NAME: Final = 64
Floats = NDArray[np.float64]


class Things:
    """The records of a track file by frame; nothing of them is held twice."""

    def __init__(self, path: Path, film: Film, format_name: str | None = None, asked: Asked | None = None) -> None:
        """Read ``path``. Raises ``InputError`` for a file that is none, and for one of another film."""
        video = (film.info.width, film.info.height)
        told = asked or Asked()
        self._tracks = read_tracks(path, format_name, replace(told, size=told.size or video, positions=True))
        self._size = told.size or self._tracks.header.size or video
        self._shown_size = (film.record.width, film.record.height)
        shown = film.info.pixel_aspect
        if not (same_shape(self._size, video) or same_shape(self._size, (round(video[0] * shown), video[1]))):
            raise InputError(
                f"{path} is for images of {self._size[0]}x{self._size[1]}, and the film is {video[0]}x{video[1]}: "
                "they are not the same picture.",
                "Check that the tracks belong to this film, or give the size they are for: --track-size WxH.",
            )
        self._order = np.argsort(self._tracks.frame, kind="stable")
        self._sorted = self._tracks.frame[self._order]
        self._require_in(path, film)

    def __len__(self) -> int:
        return len(self._tracks)

    def at(self, frame: int) -> list[dict[str, Any]]:
        """What is in the frame with index ``frame``: ``name``, ``track`` (-1: none), ``box`` and ``point``.

        Boxes are (x1, y1, x2, y2), points (x, y); None where a record has none. ``place`` are metres of the camera
        that ``vda enrich`` found.
        """
        first, last = np.searchsorted(self._sorted, [frame, frame + 1])
        return [self._thing(int(row)) for row in self._order[first:last]]

    def _thing(self, row: int) -> dict[str, Any]:
        tracks = self._tracks
        place = None if tracks.position is None else _plain(tracks.position[row])
        return {
            "name": _name(tracks, row),
            "track": int(tracks.track[row]),
            "box": _plain(self._seen(tracks.box[row].reshape(-1, 2))),
            "point": _plain(self._seen(tracks.point[row].reshape(-1, 2))),
            "place": place,
        }

    def _seen(self, pixels: Floats) -> Floats:
        return resized(pixels, self._size, self._shown_size)

    def _require_in(self, path: Path, film: Film) -> None:
        """Refuse tracks of which not one record lies in a frame, or not one box in the picture."""
        if not len(self._sorted):
            return
        frames = np.asarray(film.frames)
        if not np.isin(self._sorted, frames).any():
            known = self._sorted[self._sorted >= 0]
            span = f"frames {known[0]} to {known[-1]}" if len(known) else "no frames"
            raise InputError(
                f"{path} is of {span}, and this depth is of frames {frames[0]} to {frames[-1]}: they have none in "
                "common.",
                _WRONG_FILM,
            )
        corners = np.concatenate([self._tracks.box.reshape(-1, 2), self._tracks.point])
        known_corners = corners[np.isfinite(corners).all(axis=1)]
        from_corner = centre_to_corner(known_corners)
        inside = ((from_corner >= 0) & (from_corner <= np.array(self._size))).all(axis=1)
        if len(known_corners) and not inside.any():
            raise InputError(
                f"Nothing in {path} lies within a picture of {self._size[0]}x{self._size[1]} pixels.",
                "Check that the tracks belong to this film, or give the size they are for: --track-size WxH.",
            )


def tracks_of(film: Film, path: Path | None) -> Path | None:
    """``path``, or the scene's own tracks where there are any."""
    own = film.scene.root / OWN_TRACKS
    return path if path is not None else own if own.is_file() else None


def _name(tracks: Tracks, row: int) -> str:
    track, category = tracks.track[row], tracks.category[row]
    words = [str(tracks.category_names[category])] if category >= 0 else []
    name = " ".join([*words, *([str(tracks.track_names[track])] if track >= 0 else [])])
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _plain(numbers: Floats) -> list[float] | None:
    """The numbers as JSON has them; None where one of them is none."""
    flat = numbers.ravel()
    return [round(float(number), 2) for number in flat] if np.isfinite(flat).all() else None
