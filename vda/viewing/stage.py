"""A scene to look at: the page is served as long as somebody wants it, or kept in a file.

In go the wishes; out comes an open page, or a file. What can be found wrong is found before anything is opened.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vda.depthmaps.colours import colour_table
from vda.errors import InputError
from vda.files import refuse_to_overwrite
from vda.reporter import Reporter, Silence
from vda.viewing.cloud import Cloud
from vda.viewing.door import Answer, Door, bound, opened, require_viser
from vda.viewing.film import Film
from vda.viewing.keeping import keep
from vda.viewing.page import ASSETS, asset, facts_of, served_page
from vda.viewing.settings import ViewSettings, check_view
from vda.viewing.space import Space
from vda.viewing.things import Things, tracks_of

# A picture of 640x360 gives 57,600 points at every second pixel; a browser turns twice that without a card.
_POINTS: Final = 60_000


@dataclass(frozen=True)
class KeptPage:
    """A page in a file: ``frames`` of the film's ``of`` are in it."""

    path: Path
    frames: int
    of: int


@contextmanager
def open_view(settings: ViewSettings, *, reporter: Reporter | None = None) -> Iterator[Door]:
    """Serve the page as long as this lasts; ``reporter`` is told what is shown.

    Raises ``SceneError`` for a scene that is not merged, ``InputError`` for tracks of another film, ``UsageError``
    without viser and for a port that is taken.
    """
    check_view(settings)
    # A browser may ask as soon as there is a port: it waits until the film is open.
    with bound(settings.host, settings.port) as listening:
        film, space, things = _made_ready(settings, reporter or Silence())
        pages = Pages(film, space, things, settings)
        with opened(pages, listening) as door:
            pages.cloud = Cloud(door.server, space, _POINTS)
            yield door


def keep_view(settings: ViewSettings, *, reporter: Reporter | None = None) -> KeptPage:
    """Write the page with some of the frames to ``settings.export``; raises what ``open_view`` does."""
    assert settings.export is not None
    check_view(settings)
    reporter = reporter or Silence()
    film, space, things = _made_ready(settings, reporter)
    path, count = keep(film, space, things, settings, reporter)
    return KeptPage(path, count, len(film.frames))


def _made_ready(settings: ViewSettings, reporter: Reporter) -> tuple[Film, Space, Things | None]:
    refuse_to_overwrite(settings.export, overwrite=settings.overwrite)
    colour_table(settings.colormap)
    require_viser()
    film = Film.of(settings.scene)
    path = tracks_of(film, settings.tracks)
    things = None if path is None else Things(path, film, settings.track_format, settings.asked)
    if things is not None:
        reporter.say(f"{len(things)} records of {path} are shown.")
    return film, Space.of(film, settings, reporter), things


class Pages:
    """Answers to the names below the token, as ``page.js`` asks for them."""

    def __init__(self, film: Film, space: Space, things: Things | None, settings: ViewSettings) -> None:
        self._film, self._things = film, things
        self.cloud: Cloud | None = None
        self._whole: dict[str, Callable[[], Answer]] = {
            "": lambda: Answer(served_page(film.name).encode(), "text/html; charset=utf-8"),
            "facts.json": lambda: _json(facts_of(film, space, things, settings.colormap)),
            "values": lambda: _numbers(film.table_of_values().astype("<f4").tobytes()),
            "colours": lambda: _numbers(film.table_of_colours(settings.colormap).tobytes()),
        }
        self._of_frame: dict[str, Callable[[int], Answer]] = {
            "picture": lambda place: Answer(film.jpeg(place), "image/jpeg"),
            "depth": lambda place: _numbers(film.codes(place).astype("<u2").tobytes()),
            "things": lambda place: _json([] if things is None else things.at(film.frames[place])),
            "points": self._points,
        }

    def __call__(self, name: str) -> Answer | None:
        if name in ASSETS:
            return Answer(asset(name).encode(), ASSETS[name])
        if name in self._whole:
            return self._whole[name]()
        what, _, place = name.partition("/")
        if what not in self._of_frame or not (place.isascii() and place.isdecimal()):
            return None
        if len(place) > 9 or int(place) >= len(self._film.frames):
            raise InputError(f"There is no frame at place {place}.", "Load the page again.")
        return self._of_frame[what](int(place))

    def _points(self, place: int) -> Answer:
        return _json({"points": 0 if self.cloud is None else self.cloud.show(place)})


def _json(value: object) -> Answer:
    return Answer(json.dumps(value, allow_nan=False).encode(), "application/json")


def _numbers(data: bytes) -> Answer:
    return Answer(data, "application/octet-stream")
