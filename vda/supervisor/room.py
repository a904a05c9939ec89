"""Room on the disk: what the work on scenes will take, refused before the start where it is not there."""

from collections.abc import Sequence

from vda.errors import StorageError
from vda.machine.host import disk_free_bytes
from vda.network.slots import WINDOW_SLOTS
from vda.scene.scene import Scene

# A raw window takes about a third of float32's size; 16-bit images shrink as well, but not by much.
_WINDOW_BYTES_PER_PIXEL = 4 / 3
_IMAGE_BYTES_PER_PIXEL = 1.5
# With noise for depth, quantised windows hardly shrink at all.
_WORST_BYTES_PER_PIXEL = 2.8


def window_bytes(scene: Scene, *, worst: bool = False) -> int:
    """What a raw window of the scene takes on the disk: usually, or at ``worst``."""
    record = scene.run_record()
    assert record is not None, "what is computed is written down first"
    bytes_per_pixel = _WORST_BYTES_PER_PIXEL if worst else _WINDOW_BYTES_PER_PIXEL
    return round(WINDOW_SLOTS * record.net_width * record.net_height * bytes_per_pixel)


def require_disk(scenes: Sequence[Scene], at_once: int | None = None) -> None:
    """Raise ``StorageError``, with the figures, where the windows and images to come do not fit.

    ``at_once``: windows of no more scenes than that are there at any time, for they go once they are merged.
    """
    windows = sorted((_window_bytes_to_come(scene) for scene in scenes), reverse=True)
    needed = sum(windows[:at_once]) + sum(_image_bytes_to_come(scene) for scene in scenes)
    free = disk_free_bytes(scenes[0].root)
    if needed > free:
        raise StorageError(
            f"The work takes about {needed / 1e9:.2f} GB of disk, and {free / 1e9:.2f} GB are free "
            f"where {scenes[0].root} is.",
            "Free some space, choose another --scene, or give a smaller --input-size.",
        )


def _window_bytes_to_come(scene: Scene) -> int:
    windows = sum(1 for _ in scene.plan().windows()) - len(scene.finished_windows())
    return windows * window_bytes(scene)


def _image_bytes_to_come(scene: Scene) -> int:
    images = 0 if scene.depth_record_path.is_file() else len(scene.plan().frames)
    width, height = scene.picture().framing().size
    return round(images * width * height * _IMAGE_BYTES_PER_PIXEL)
