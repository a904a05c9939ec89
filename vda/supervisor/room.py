"""Room on the disk: what the work on scenes will take, refused before the start where it is not there."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from vda.errors import StorageError
from vda.machine.host import disk_free_bytes
from vda.merging.settings import MergeSettings
from vda.network.slots import WINDOW_SLOTS
from vda.scene.scene import Scene

# Of what the network gives: 0.53 to 1.24 of 27 films by the built-in model, 1.36 of one by vits.
_WINDOW_BYTES_PER_PIXEL = 1.4
# With noise for depth, quantised windows hardly shrink at all.
_WORST_BYTES_PER_PIXEL = 2.8
# What an archive has beside a slot: its headers, and those of two or three buffers.
_SLOT_BYTES = 400
# Of windows that are there so many are weighed; others of the film differ from them.
_WEIGHED, _MARGIN = 50, 1.15
# The most that a pixel takes: floats have 4 bytes, codes 2 or 1, and compress by a quarter at the least; videos to
# look at are far below a tenth.
_MOST_PER_PIXEL: Final[Mapping[str, float]] = {
    "png16": 1.5, "png8": 0.8, "mkv": 1.5, "exr": 4.0, "npz": 4.0, "npy": 4.0
}  # fmt: skip
_MOST_OF_VIDEO: Final = 0.1
_COLOURED_EXR: Final = 10.0
# Of 16 bits enlarged depth takes fewer, the more so the larger: those of 25 films without refining took up to 13.4
# bits less two for each doubling of a side. This lies 0.7 bits and more above each of them.
_BITS_ENLARGED, _BITS_PER_DOUBLING = 13.5, 1.5
_ENLARGED: Final = ("png16", "mkv")
_ANY_MERGE = MergeSettings()


def window_bytes(scene: Scene, *, worst: bool = False) -> int:
    """What a raw window of the scene takes on the disk: usually, or at ``worst``."""
    record = scene.run_record()
    assert record is not None, "what is computed is written down first"
    bytes_per_pixel = _WORST_BYTES_PER_PIXEL if worst else _WINDOW_BYTES_PER_PIXEL
    return round(WINDOW_SLOTS * (record.net_width * record.net_height * bytes_per_pixel + _SLOT_BYTES))


def outputs_of(settings: MergeSettings) -> tuple[str, ...]:
    """The names of what a merge writes: its formats, and ``visualization``."""
    return (*settings.formats, *(["visualization"] if settings.create_video else []))


def most_by_frame(scene: Scene, settings: MergeSettings) -> dict[str, float]:
    """The most bytes that a frame takes in each output of a merge, where nothing can be weighed."""
    width, height = scene.picture().framing().size
    most = {**_MOST_PER_PIXEL, **({"exr": _COLOURED_EXR} if settings.exr == "rgb" else {})}
    if settings.refine == "none" and (record := scene.run_record()) is not None:
        larger = math.sqrt(width * height / (record.net_width * record.net_height))
        bits = _BITS_ENLARGED - _BITS_PER_DOUBLING * math.log2(larger)
        most |= {name: min(most[name], bits / 8) for name in _ENLARGED}
    return {name: most.get(name, _MOST_OF_VIDEO) * width * height for name in outputs_of(settings)}


def require_disk(scenes: Sequence[Scene], merging: MergeSettings = _ANY_MERGE, at_once: int | None = None) -> None:
    """Raise ``StorageError``, with the figures, where the windows to come and what ``merging`` writes do not fit.

    ``at_once``: windows of no more scenes than that are there at any time, for they go once they are merged.
    """
    windows = sorted((_window_bytes_to_come(scene) for scene in scenes), reverse=True)
    needed = sum(windows[:at_once]) + sum(_output_bytes_to_come(scene, merging) for scene in scenes)
    free = disk_free_bytes(scenes[0].root)
    if needed > free:
        raise StorageError(
            f"The work takes up to {needed / 1e9:.2f} GB of disk, and {free / 1e9:.2f} GB are free "
            f"where {scenes[0].root} is.",
            "Free some space, choose another --scene, or give a smaller --input-size.",
        )


def _window_bytes_to_come(scene: Scene) -> int:
    there = scene.finished_windows()
    to_come = sum(1 for _ in scene.plan().windows()) - len(there)
    if to_come <= 0 or not there:
        return to_come * window_bytes(scene)
    some = sorted(there)[:: -(-len(there) // _WEIGHED)]
    weighed = sum(scene.window_path(key).stat().st_size for key in some) / len(some)
    return round(to_come * weighed * _MARGIN)


def _output_bytes_to_come(scene: Scene, merging: MergeSettings) -> int:
    frames = 0 if scene.depth_record_path.is_file() else len(scene.plan().frames)
    return round(frames * sum(most_by_frame(scene, merging).values()))
