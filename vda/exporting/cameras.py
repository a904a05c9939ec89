"""The cameras alone, for programs that need no depth: one folder with every format that can hold them.

``cameras.json`` has all that is known. ``transforms.json`` (nerfstudio), ``sparse/0`` (COLMAP, text),
``camera.chan`` (Nuke) and ``camera.usda`` need poses; the last two have no lens. What a format cannot hold is
told, and a file that would be wrong is left out. Here stands as well which target has words for which lens.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from vda.camera.chan import chan_text, lost
from vda.camera.colmapmodel import camera_line, model_files
from vda.camera.intrinsics import Intrinsics, normalise, pixel_grid
from vda.camera.posed import PosedCamera, cameras_json
from vda.camera.undistorting import pinhole_of
from vda.camera.usd import usd_text
from vda.errors import InputError, VdaError
from vda.exporting.nerfstudio import camera_json, transforms_json
from vda.exporting.request import CAMERAS, ExportSettings
from vda.exporting.written import Written
from vda.files import write_bytes
from vda.reporter import Reporter

Texts = dict[str, str]
# Readers that know no lens: the loader of Gaussian splatting takes PINHOLE cameras, rerun's pinhole has none.
_NEED_PINHOLE = ("gaussian-splatting", "rerun")
# What turns a lens into the words of a format, and refuses one that it has no words for.
_LENS_WORDS: Final = {"nerfstudio": camera_json, "colmap": camera_line, "dn-splatter": camera_line}
MODEL_FILES: Final = tuple(
    f"{name}.{suffix}" for name in ("cameras", "images", "points3D", "rigs", "frames") for suffix in ("txt", "bin")
)
# Enough pixels to tell which share of a picture a lens model covers.
_LOOKED_AT: Final = 100


def write_cameras(cameras: Sequence[PosedCamera], fps: float, written: Written, reporter: Reporter) -> list[Path]:
    """Write the folder; ``fps`` is the rate at which a USD stage plays. Frames are counted as depth images are."""
    makers: dict[str, Callable[[], Texts]] = {
        "cameras.json": lambda: {"cameras.json": _json(cameras_json(cameras))}
    }
    if cameras[0].camera_to_world is None:
        reporter.say("Only cameras.json is written: the other formats need poses, and --poses is not given.")
    else:
        makers |= {
            "transforms.json": lambda: {"transforms.json": _json(transforms_json(cameras, [{} for _ in cameras]))},
            "sparse/0": lambda: {f"sparse/0/{name}": text for name, text in model_files(cameras).items()},
            "camera.chan": lambda: {"camera.chan": chan_text(_pinholes(cameras))},
            "camera.usda": lambda: {"camera.usda": usd_text(_pinholes(cameras), fps)},
        }
    paths = []
    for name, make in makers.items():
        try:
            texts = make()
        except VdaError as error:
            reporter.say(f"{name} is left out. {error}")
            continue
        for place, text in texts.items():
            paths.append(written.path(place))
            write_bytes(paths[-1], text.encode())
    if any(path.name == "camera.chan" for path in paths):
        _say_what_is_lost(cameras, reporter)
    return paths


def _pinholes(cameras: Sequence[PosedCamera]) -> Sequence[PosedCamera]:
    """``cameras``, if none of them has a lens."""
    if any(camera.intrinsics.distortion_model != "none" for camera in cameras):
        raise InputError(
            "The camera has lens distortion, and this format has no lens.",
            "Add --undistort for the camera of undistorted pictures.",
        )
    return cameras


def _say_what_is_lost(cameras: Sequence[PosedCamera], reporter: Reporter) -> None:
    words = dict.fromkeys(word for camera in cameras for word in lost(camera.intrinsics))
    if words:
        reporter.say(f"camera.chan cannot hold {', '.join(words)}; camera.usda does.")


def _json(value: object) -> str:
    return json.dumps(value, indent=1)


def camera_files(settings: ExportSettings) -> list[str]:
    """The files in the output folder that this export, or what is written over, keeps cameras in."""
    model = [f"sparse/0/{name}" for name in MODEL_FILES]
    return {
        "colmap": model,
        "dn-splatter": [f"colmap/{name}" for name in model],
        "gaussian-splatting": model if settings.undistort else [],
        "nerfstudio": ["transforms.json"],
        CAMERAS: ["cameras.json", "transforms.json", *model],
    }.get(settings.target, [])


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
