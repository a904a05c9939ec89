"""What files hold, in 64 digits: enough to tell whether they still hold it.

In: paths of what was made, and of what it was made from. Out: texts to compare. Times of change are not looked at:
they change with every copy, and damage does not change them. This file does not know who made the files.
"""

import hashlib
import os
from pathlib import Path

from vda.files import DEPTH_RECORD_NAME, sha256_file
from vda.scene.scene import Scene
from vda.video import identity


def content_checksum(path: Path) -> str | None:
    """SHA-256 of a file, or of the names and contents of a folder's files; None where there is neither."""
    try:
        if not path.is_dir():
            return sha256_file(path)
        digest = hashlib.sha256()
        for file in sorted(path.iterdir()):
            digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError:
        return None


def video_identity(path: Path) -> str:
    """As ``VideoInfo.sha256_head_tail``: of sizes, heads and tails. Raises ``OSError`` or ``VideoError``."""
    return identity(path)


def scene_identity(scene: Scene) -> str:
    """Of the record of the merged depth, and the names and sizes of its files. Raises ``OSError``."""
    digest = hashlib.sha256((scene.merged_dir / DEPTH_RECORD_NAME).read_bytes())
    with os.scandir(scene.merged_dir) as entries:
        sizes = sorted((entry.name, entry.stat().st_size) for entry in entries)
    digest.update("\n".join(f"{name} {size}" for name, size in sizes).encode())
    return digest.hexdigest()
