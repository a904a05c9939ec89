"""What can be found wrong with an export before its first frame is read.

In go the wishes, the cameras and what is in the output folder; out come errors, and sentences on what becomes of a
lens. This file does not write.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from vda.camera.colmapmodel import camera_line
from vda.camera.intrinsics import Intrinsics, normalise, pixel_grid
from vda.camera.undistorting import pinhole_of
from vda.errors import InputError, UsageError
from vda.exporting.nerfstudio import camera_json
from vda.exporting.request import CAMERAS, ExportSettings
from vda.exporting.written import Written
from vda.reporter import Reporter

_NEED_POSES = ("nerfstudio", "gaussian-splatting", "tum", "colmap", "dn-splatter")
_TAKE_DEPTH_KIND = ("nerfstudio", "colmap")
# Readers that know no lens: the loader of Gaussian splatting takes PINHOLE cameras, rerun's pinhole has none.
_NEED_PINHOLE = ("gaussian-splatting", "rerun")
# What turns a lens into the words of a format, and refuses one that it has no words for.
_LENS_WORDS: Final = {"nerfstudio": camera_json, "colmap": camera_line, "dn-splatter": camera_line}
_MODEL = tuple(
    f"{name}.{suffix}" for name in ("cameras", "images", "points3D", "rigs", "frames") for suffix in ("txt", "bin")
)
# Enough pixels to tell which share of a picture a lens model covers.
_LOOKED_AT: Final = 100


def check_settings(settings: ExportSettings) -> None:
    """Raise ``UsageError`` for wishes that the target cannot fulfil, or that contradict each other."""
    target = settings.target
    if target in _NEED_POSES and settings.poses is None:
        raise UsageError(
            f"{target} lives in a reconstruction, and none is given.",
            "Give --poses: a transforms.json, a COLMAP sparse model, a cameras.json or a TUM trajectory.",
        )
    if settings.depth_as is not None and target not in _TAKE_DEPTH_KIND:
        raise UsageError(
            f"The program that {target} is for reads one kind of depth, so --depth-as has no use there.",
            f"Leave it out, or export to {' or '.join(_TAKE_DEPTH_KIND)}.",
        )
    if settings.tracks is not None and target != "rerun":
        raise UsageError(f"{target} has no place for tracks.", "Leave out --tracks, or export to rerun.")
    if target == CAMERAS and settings.leaves_out:
        raise UsageError(
            "Cameras have no depth, so --near, --far, --edges and --sky have no use there.", "Leave them out."
        )
    if settings.poses is None and (settings.by_order or settings.image_base is not None or settings.image_folder):
        raise UsageError(
            "--by-order, --image-base and --image-folder tell which image a pose is of, and there are no poses.",
            "Leave them out, or give --poses.",
        )
    if math.isnan(settings.near) or not settings.near < settings.far:
        raise UsageError(
            f"No depth lies between --near {settings.near:g} and --far {settings.far:g}.",
            "Give a --near below --far.",
        )
    _check_output(settings)


def _check_output(settings: ExportSettings) -> None:
    output = settings.output
    if settings.target == "rerun" and output.is_dir():
        raise UsageError(f"{output} is a folder, and a recording is one file.", "Give --output NAME.rrd.")
    if settings.target != "rerun" and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, and {settings.target} writes a folder.", "Give another --output.")


def check_strangers(settings: ExportSettings, written: Written) -> None:
    """Raise ``UsageError`` where cameras or images stand that no export wrote, or poses that this one reads.

    They may be all that is left of a reconstruction; and programs read a binary model before one in text.
    """
    output, names = settings.output, _camera_files(settings)
    if names and settings.target != CAMERAS:
        names += [path.relative_to(output).as_posix() for path in sorted((output / "images").glob("*"))]
    for name in names:
        path = output / name
        if path.is_file() and not written.has_listed(name):
            raise UsageError(
                f"{path} is there and was not written by an export, which would replace it or be misread with it.",
                "Give another --output.",
            )
    poses = settings.poses
    read = [poses, *(poses / name for name in _MODEL)] if poses is not None else []
    if any(written.has_listed(_inside(path, output)) for path in read):
        raise UsageError(
            f"The poses in {poses} are an export's own, in the folder whose files this one replaces.",
            "Give another --output.",
        )


def _camera_files(settings: ExportSettings) -> list[str]:
    model = [f"sparse/0/{name}" for name in _MODEL]
    return {
        "colmap": model,
        "dn-splatter": [f"colmap/{name}" for name in model],
        "gaussian-splatting": model if settings.undistort else [],
        "nerfstudio": ["transforms.json"],
        CAMERAS: ["cameras.json", "transforms.json", *model],
    }.get(settings.target, [])


def _inside(path: Path, folder: Path) -> str:
    whole, outer = path.resolve(), folder.resolve()
    return whole.relative_to(outer).as_posix() if whole.is_relative_to(outer) else ""


def heed_lenses(settings: ExportSettings, cameras: set[Intrinsics], reporter: Reporter) -> None:
    """Refuse lenses where no reader knows them, and tell what becomes of them."""
    lenses = [camera for camera in cameras if camera.distortion_model != "none"]
    if settings.undistort:
        _say_undistorted(lenses, reporter)
        return
    if lenses and settings.target in _NEED_PINHOLE:
        raise InputError(
            f"The camera has lens distortion ({lenses[0].distortion_model}), and {settings.target} knows none.",
            "Add --undistort: pictures, depth and cameras are then those of a camera without lens.",
        )
    if settings.target in _LENS_WORDS:
        for camera in lenses:
            _LENS_WORDS[settings.target](camera)
    if lenses and settings.target == "tum":
        reporter.say(
            "The pictures have lens distortion: give your program the numbers in calibration.txt "
            f"({lenses[0].distortion_model}), or add --undistort."
        )
    _say_uncovered(lenses, reporter)


def _say_undistorted(lenses: Sequence[Intrinsics], reporter: Reporter) -> None:
    for camera in lenses:
        reporter.say(
            f"The lens is taken out of images of {camera.width}x{camera.height}: the focal length "
            f"{camera.fx:.6g} becomes {pinhole_of(camera).fx:.6g}, and what no pinhole camera sees is cut off."
        )
    if not lenses:
        reporter.say("The camera has no lens distortion: --undistort changes nothing.")


def _say_uncovered(lenses: Sequence[Intrinsics], reporter: Reporter) -> None:
    for camera in lenses:
        rays = normalise(camera.scaled(_LOOKED_AT, _LOOKED_AT), pixel_grid(_LOOKED_AT, _LOOKED_AT))
        share = float(np.isnan(rays).any(axis=1).mean())
        if share:
            reporter.say(
                f"About {share:.1%} of the picture lies outside what the lens model covers: pixels there have no "
                "direction, and are no points."
            )
