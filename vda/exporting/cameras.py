"""The cameras alone, for programs that need no depth: one folder with every format that can hold them.

``cameras.json`` has all that is known. ``transforms.json`` (nerfstudio), ``sparse/0`` (COLMAP, text),
``camera.chan`` (Nuke) and ``camera.usda`` need poses; the last two have no lens. What a format cannot hold is
told, and a file that would be wrong is left out.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from vda.camera.chan import chan_text, lost
from vda.camera.colmapmodel import model_files
from vda.camera.posed import PosedCamera, cameras_json
from vda.camera.usd import usd_text
from vda.errors import InputError, VdaError
from vda.exporting.nerfstudio import transforms_json
from vda.exporting.written import Written
from vda.files import write_bytes
from vda.reporter import Reporter

Texts = dict[str, str]


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
