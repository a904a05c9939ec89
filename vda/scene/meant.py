"""Which scene somebody means who gives a film, a folder of one, or a folder inside or above a scene.

In: a path that is no scene. Out: the scenes that it may stand for, and what to do, in a sentence. This file knows
the names of files that make a scene, and nothing of what is in them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from vda.shown import quoted
from vda.stills.naming import name_of

# A sentence is to be read: of a folder of hundreds the first are enough.
_MOST_NAMED: Final = 3


def default_root(video: Path) -> Path:
    """The scene directory of ``video`` where none is given: ``data/<stem>``, or ``data/<name>``.

    The stem of ``...mp4`` is ``..``, which is the folder above. Of images it is their folder's name, or what
    stands before the number in a pattern.
    """
    name = name_of(video)
    return Path("data") / (video.name if set(name) <= {"."} else name)


def remedy(path: Path, is_planned: Callable[[Path], bool]) -> str:
    """What to do who gave ``path``, which is no scene: the scene that was meant, or how one is made.

    ``is_planned`` says whether a folder is a planned scene.
    """
    scenes = list(dict.fromkeys(_meant(path, is_planned)))
    if len(scenes) == 1:
        return f"Give the scene {quoted(scenes[0])} in its place."
    if scenes:
        names = ", ".join(quoted(scene) for scene in scenes[:_MOST_NAMED])
        more = f" or one of {len(scenes) - _MOST_NAMED} more" if len(scenes) > _MOST_NAMED else ""
        return f"Give one scene: {names}{more}."
    if path.is_file():
        return f"If that is your film, 'vda depth {quoted(path)}' makes its scene; else check the path."
    return "Run 'vda split VIDEO --scene DIR' first, or check the path."


def _meant(path: Path, is_planned: Callable[[Path], bool]) -> Iterator[Path]:
    """The scenes around ``path``, of it as a film, and in it."""
    around = next((folder for folder in path.absolute().parents if is_planned(folder)), None)
    if around is not None:
        yield _as_typed(around)
        return
    if path.exists() and is_planned(default_root(path)):
        yield default_root(path)
        return
    if path.is_dir():
        inside = sorted(path.iterdir())
        yield from (folder for folder in inside if is_planned(folder))
        films = (default_root(file) for file in inside if file.is_file())
        yield from (root for root in films if is_planned(root))


def _as_typed(folder: Path) -> Path:
    """Relative to where the command was given, where it lies below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) and folder != here else folder
