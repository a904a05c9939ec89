"""The page with some of a film's frames in one file, to be sent to somebody: it asks nobody for anything.

In go a film, its space and its tracks; out comes the file. Its size is bounded by the number of frames and by
their size, both of which the file itself says. Of the machine it was made on it holds the scene's name alone.
"""

import base64
import zlib
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import numpy as np

from vda import __version__
from vda.depthmaps.codes import Codes
from vda.evaluation.seams import spread
from vda.files import write_bytes
from vda.reporter import Reporter
from vda.shown import counted
from vda.viewing.cloud import Cloud
from vda.viewing.door import bound, opened
from vda.viewing.film import Film
from vda.viewing.page import facts_of, kept_page
from vda.viewing.settings import KEPT_FRAMES, LOOPBACK, ViewSettings
from vda.viewing.space import Space
from vda.viewing.things import Things

_WIDEST: Final = 640
_JPEG_QUALITY: Final = 75
_POINTS: Final = 30_000
# zlib's least: codes are noise in their low bits, which no more effort packs.
_EFFORT: Final = 6


def keep(
    film: Film, space: Space, things: Things | None, settings: ViewSettings, reporter: Reporter
) -> tuple[Path, int]:
    """Write ``settings.export``; return it and how many frames it holds."""
    assert settings.export is not None
    places = spread(range(len(film.frames)), settings.export_frames or KEPT_FRAMES)
    step = -(-film.record.width // _WIDEST)
    reporter.begin("keeping frames", len(places))
    frames, cloud = _frames(film, space, things, places, step, reporter)
    note = _what_is_kept(film, places, step)
    kept = {
        "facts": facts_of(film, space, things, settings.colormap, places=places, step=step, notes=[note]),
        "values": _packed(film.table_of_values().astype("<f4").tobytes()),
        "colours": _packed(film.table_of_colours(settings.colormap).tobytes()),
        "frames": frames,
        "cloud": cloud,
    }
    data = kept_page(film.name, kept, _licence()).encode()
    write_bytes(settings.export, data)
    reporter.say(f"{note} The file has {len(data) / 1e6:.1f} MB.")
    return settings.export, len(places)


def _what_is_kept(film: Film, places: Sequence[int], step: int) -> str:
    """What is in the file and what is not, for the person who gets it."""
    frames = counted(len(film.frames), "frame")
    which = f"all {frames}" if len(places) == len(film.frames) else f"{len(places)} of {frames}, evenly"
    width, height = -(-film.record.width // step), -(-film.record.height // step)
    every = "every pixel" if step == 1 else f"1 of {step} pixels in each direction"
    return (
        f"This file holds {which}; of the depth {every} with its own value ({width} x {height}), of the cloud "
        f"at most {_POINTS:,} points a frame. Made with vda-toolkit {__version__}."
    )


def _frames(
    film: Film, space: Space, things: Things | None, places: Sequence[int], step: int, reporter: Reporter
) -> tuple[list[dict[str, Any]], str]:
    """The frames at ``places`` as the page reads them, and viser's page with the cloud of each for a second."""
    frames = []
    with bound(LOOPBACK, 0) as listening, opened(lambda name: None, listening) as door:
        cloud = Cloud(door.server, space, _POINTS)
        recording = door.server.get_scene_serializer()
        for done, place in enumerate(places, start=1):
            frames.append(
                {
                    "picture": base64.b64encode(film.jpeg(place, _WIDEST, _JPEG_QUALITY)).decode(),
                    "depth": _packed(differences(film.codes(place)[::step, ::step])),
                    "things": _reduced(things, film.frames[place], step),
                    "points": cloud.show(place),
                }
            )
            recording.insert_sleep(1.0)
            reporter.at(done)
        return frames, recording.as_html()


def _reduced(things: Things | None, frame: int, step: int) -> list[dict[str, Any]]:
    """What is in a frame, in pixels of the depth that is kept: pixel 0 of it is pixel 0 of all."""
    if things is None:
        return []
    return [
        {**thing, "box": _shrunk(thing["box"], step), "point": _shrunk(thing["point"], step)}
        for thing in things.at(frame)
    ]


def _shrunk(numbers: list[float] | None, step: int) -> list[float] | None:
    return None if numbers is None else [number / step for number in numbers]


def differences(codes: Codes) -> bytes:
    """Codes [height, width] as the page adds them up: each less its left one, high bytes, then low ones."""
    steps = np.diff(codes, axis=1, prepend=np.zeros((len(codes), 1), np.uint16))
    return (steps >> 8).astype(np.uint8).tobytes() + (steps & 0xFF).astype(np.uint8).tobytes()


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, _EFFORT)).decode()


def _licence() -> str:
    """viser's licence, and those of what is in it, which have to go where its page goes."""
    found = [file for file in distribution("viser").files or [] if file.name == "LICENSE"]
    return "\n\n".join(file.read_text(encoding="utf-8") for file in found)
