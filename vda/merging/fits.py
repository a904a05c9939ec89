"""What the first part of a merge in parts leaves for the others: the fits, and what is left to be made.

In: a scene and what is asked of its merge. Out: ``fits.json``, whether it is still of what is there, and which
blocks of frames are missing. What the fits were found of is kept as marks: parts of two merges never mix. This
file does not know how a part is made.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from vda import __version__
from vda.depthmaps.files import is_whole
from vda.errors import SceneError, UsageError
from vda.files import sha256_file
from vda.joining.scenedepth import Found
from vda.merging.frames import FrameBlock
from vda.merging.outputs import IMAGE_FORMATS, image_path
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stage import MergeAsked, asked_of
from vda.merging.workplace import PartFiles
from vda.merging.writing import FirstPass
from vda.records import Within, read_record
from vda.scene.scene import Scene
from vda.scene.windowstore import WindowStore

# A kill costs the images of a block, and the end reads a file for each: some thousand blocks for a long film.
_MOST_BLOCKS: Final = 1000
_LEAST_FRAMES, _MOST_FRAMES = 16, 256
# Looking whether images are whole waits for the disk.
_THREADS: Final = 8
_BEGIN: Final = "Begin again with 'vda merge --part fits'; what was computed is kept."


@dataclass(frozen=True)
class Fits:
    """What the first part leaves for the others; ``marks`` are of all that it was found from, by name.

    ``token`` is this merge's own, ``settings`` as they were asked for; ``block`` is how many frames a block has.
    """

    token: str
    marks: dict[str, str]
    settings: MergeSettings
    block: Annotated[int, Within(1)]
    first: FirstPass
    found: Found

    def blocks_of(self, frames: Sequence[int]) -> list[Sequence[int]]:
        return [frames[start : start + self.block] for start in range(0, len(frames), self.block)]


def asked_in_parts(scene: Scene, settings: MergeSettings) -> MergeAsked | MergeResult:
    """What has to be made; ``UsageError`` where that has no parts."""
    asked = asked_of(scene, settings)
    if isinstance(asked, MergeResult):
        return asked
    if asked.of == "stored":
        raise UsageError(
            "The raw windows are gone: formats made of merged depth are made in one go.",
            "Leave out --part and --on.",
        )
    if not set(asked.request.settings.formats) & IMAGE_FORMATS.keys():
        raise UsageError(
            f"None of {', '.join(asked.request.settings.formats) or 'this'} is made frame by frame, "
            "and so there is nothing to share out.",
            f"Leave out --part and --on, or give one of {', '.join(IMAGE_FORMATS)} as well.",
        )
    return asked


def same_asked(scene: Scene, fits: Fits) -> MergeAsked:
    """What the fits are of; ``SceneError`` where that changed, or was merged by others, since they were found."""
    asked = asked_in_parts(scene, fits.settings)
    if isinstance(asked, MergeResult):
        raise SceneError(f"{scene.root} was merged by another command since the fits were found.", _BEGIN)
    if changed := changes(fits, scene, asked):
        raise SceneError(
            f"The {' and the '.join(changed)} of {scene.root} changed since the fits were found.", _BEGIN
        )
    return asked


def image_formats(asked: MergeAsked) -> list[str]:
    """The formats that are made frame by frame."""
    return [name for name in asked.request.settings.formats if name in IMAGE_FORMATS]


def block_size(frames: int) -> int:
    """How many frames a block has where all have ``frames``."""
    return min(max(-(-frames // _MOST_BLOCKS), _LEAST_FRAMES), _MOST_FRAMES)


def marks_of(scene: Scene, asked: MergeAsked) -> dict[str, str]:
    """What the fits are found from, and what is made of them, by name; single windows are marked by the fits."""
    record = scene.run_record()
    others = sorted(path for path in scene.depths_dir.rglob("*") if path.is_file()) if asked.of == "chunks" else []
    stamps = [(str(path.relative_to(scene.root)), *_stamp(path)) for path in others]
    facts: dict[str, Any] = {
        "program's version": __version__,
        "plan or run": scene.plan_facts() if record is None else WindowStore.of(scene, record).mark,
        "chunks' depth": stamps,
        "options": asdict(asked.request.settings),
        "bars or overlay": [scene.picture().to_json(), _content(scene.mask_path)],
        "calibration": _content(scene.calibration_path),
        "merged depth": [_content(scene.depth_record_path), asked.request.replaces],
    }
    return {name: hashlib.sha256(json.dumps(fact).encode()).hexdigest()[:16] for name, fact in facts.items()}


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _content(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def changes(fits: Fits, scene: Scene, asked: MergeAsked) -> list[str]:
    """What is no longer as the fits were found from it, by name."""
    now = marks_of(scene, asked)
    return [name for name in now if fits.marks.get(name) != now[name]]


def read_fits(files: PartFiles) -> Fits | None:
    """The fits that are there; ``InputError`` where they are damaged."""
    if not files.fits_path.is_file():
        return None
    return read_record(files.fits_path, Fits, _BEGIN)


@dataclass(frozen=True)
class PartsLeft:
    """What is still to be made: the blocks that are ``missing``, of so many, of all frames; ``fits`` None: all."""

    fits: Fits | None
    missing: tuple[int, ...]
    blocks: int
    frames: int

    def frames_in(self, blocks: int) -> int:
        """How many frames so many whole blocks have; the last one may have fewer than the others."""
        return min(blocks * block_size(self.frames), self.frames)

    def ranges(self, count: int) -> list[int]:
        """Which of ``count`` ranges hold such blocks."""
        return [index for index in range(count) if set(blocks_in(index, count, self.blocks)) & set(self.missing)]


def parts_left(scene: Scene, settings: MergeSettings) -> PartsLeft | MergeResult:
    """What is still to be made of a merge in parts of ``scene``, or the result where it is there.

    Nothing is written.

    Raises what ``--part fits`` raises before it reads depth.
    """
    asked = asked_in_parts(scene, settings)
    if isinstance(asked, MergeResult):
        return asked
    files, frames = PartFiles.of(scene), asked.plan.frames
    fits = read_fits(files)
    if fits is None or fits.settings != settings or changes(fits, scene, asked):
        count = -(-len(frames) // block_size(len(frames)))
        return PartsLeft(None, tuple(range(count)), count, len(frames))
    blocks = fits.blocks_of(frames)
    missing = tuple(missing_blocks(files, fits, asked, range(len(blocks))))
    return PartsLeft(fits, missing, len(blocks), len(frames))


def missing_blocks(files: PartFiles, fits: Fits, asked: MergeAsked, numbers: Sequence[int]) -> list[int]:
    """Which of the blocks ``numbers`` are still to be made."""
    names = image_formats(asked)
    blocks, folder = fits.blocks_of(asked.plan.frames), files.images(fits.token)

    def is_there(number: int) -> bool:
        images = (image_path(folder, name, index) for name in names for index in blocks[number])
        return FrameBlock.read(files.block_path(fits.token, number)) is not None and all(map(is_whole, images))

    with ThreadPoolExecutor(_THREADS, "looking") as pool:
        return [number for number, there in zip(numbers, pool.map(is_there, numbers), strict=True) if not there]


def blocks_in(index: int, count: int, blocks: int) -> range:
    """The numbers of the blocks that range ``index`` of ``count`` has."""
    return range(index * blocks // count, (index + 1) * blocks // count)
