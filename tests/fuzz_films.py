"""Films and pictures to be made wrong: containers, folders of images, lists, single images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from clips import make_clip, picture
from fuzz_target import SIZE, Target, one, only, written
from stills import make_folder

from vda.depthmaps.exr import write_exr
from vda.splitting.inputs import find_videos
from vda.stills.naming import find_images
from vda.stills.pixels import read_image
from vda.video import index_frames, list_frames, probe, read_frame_list
from vda.video.opening import missing_bytes

# A container of each kind whose bytes are read here as well, and others whose times FFmpeg makes.
CONTAINERS = ("v.mp4", "v.mkv", "v.avi", "v.ts", "v.mov", "v.flv", "v.webm", "v.gif")
_CODECS = {"v.avi": "mpeg4", "v.webm": "libvpx", "v.gif": "gif"}
_FORMATS = {"v.gif": "rgb8"}


def image(suffix: str, deep: bool = False) -> bytes:
    rising = np.arange(SIZE[0] * SIZE[1] * 3).reshape(SIZE[1], SIZE[0], 3)
    pixels: Any = rising.astype(np.uint16 if deep else np.uint8)
    return bytes(cv2.imencode(suffix, pixels)[1])


def container(name: str, folder: Path) -> bytes:
    draw = lambda number: picture(number, 32, 16)  # noqa: E731
    more: dict[str, Any] = {"codec": _CODECS.get(name, "libx264"), "pix_fmt": _FORMATS.get(name, "yuv420p")}
    return written(lambda path: make_clip(path, range(4), draw=draw, **more), name, folder)


def use_video(folder: Path) -> object:
    """As ``vda split`` does: what it is, its frames by the container and by counting, and pictures of it."""
    path = folder if "0001.png" in {file.name for file in folder.iterdir()} else min(folder.glob("[vl].*"))
    missing_bytes(path) if path.is_file() else None
    info = probe(path)
    list_frames(info)
    index = index_frames(info, cache_dir=folder / "cache", threads=1)
    shown = sorted({index.frames[0], index.frames[-1]})
    return [frame.rgb for frame in read_frame_list(info, index, shown, threads=1)]


def use_list(folder: Path) -> object:
    """A list is of images that are one film, or of films."""
    list_ = folder / "list.txt"
    return [*find_videos([list_]), *map(read_image, find_images(list_).paths())]


def film_targets(folder: Path) -> Mapping[str, Target]:
    make_folder(folder / "stills", range(1, 4), "{:04d}.png", side=32)
    stills = {path.name: path.read_bytes() for path in (folder / "stills").iterdir()}
    light, rgb = np.ones((SIZE[1], SIZE[0]), np.float32), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    shown = written(lambda path: write_exr(path, light, rgb=rgb), "p.exr", folder)
    listed = {
        "list.txt": b"# shot\nshot.1.png\nshot.2.jpg\n",
        "shot.1.png": image(".png"),
        "shot.2.jpg": image(".jpg"),
    }
    return {
        "video": Target(
            f"containers: {', '.join(name[2:] for name in CONTAINERS)} (`video`)",
            use_video,
            tuple({name: container(name, folder)} for name in CONTAINERS),
        ),
        "image_folder": Target("folders of images as films (`video/sequence`)", use_video, (stills,)),
        "image_list": Target(
            "lists of images and of films (`stills/naming`, `splitting/inputs`)", use_list, (listed,)
        ),
        "images": Target(
            "images: PNG, JPEG, TIFF, WebP, BMP, EXR (`stills/pixels`, `stills/exr`)",
            only(read_image),
            (
                *one("a.png", image(".png"), image(".png", deep=True)),
                *one("a.jpg", image(".jpg")),
                *one("a.tif", image(".tiff"), image(".tiff", deep=True)),
                *one("a.webp", image(".webp")),
                *one("a.bmp", image(".bmp")),
                *one("a.exr", shown),
            ),
        ),
    }
