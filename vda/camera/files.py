"""Reading cameras from the files people keep them in.

In goes a file, recognised by what is in it: OpenCV calibration (YAML, JSON), ROS ``camera_info``, Open3D, COLMAP
``cameras.txt``, nerfstudio and instant-ngp ``transforms.json``. Out come ``Intrinsics`` in the Convention of
``camera``: where a format counts pixels from their corner, half a pixel is taken off its principal point. This
file does not know for which video the camera is used: see ``camerachoice``.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vda.camera.conventions import corner_to_centre
from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.files import read_json
from vda.records import NOT_AS_EXPECTED

# OpenCV's sample and ROS write camera_matrix, scripts the names of OpenCV's variables, ROS messages K and D (in
# ROS 2: k and d).
_MATRIX_NAMES = ("camera_matrix", "cameraMatrix", "CameraMatrix", "intrinsic_matrix", "K", "k")
_LENS_NAMES = (
    "distortion_coefficients", "distCoeffs", "dist_coeffs", "dist_coeff", "distCoeff", "distortion_coeffs",
    "distortion", "dist", "D", "d",
)  # fmt: skip
# Coefficients under their own names, in OpenCV's order.
_LENS_NUMBERS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE_NUMBERS = ("k1", "k2", "k3", "k4")

# COLMAP's models: how the parameters begin (one focal length or two), which lens OpenCV has for the rest, and the
# places its coefficients take there.
_COLMAP: dict[str, tuple[int, str, tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (1, "none", ()),
    "PINHOLE": (2, "none", ()),
    "SIMPLE_RADIAL": (1, "opencv", (0,)),
    "RADIAL": (1, "opencv", (0, 1)),
    "OPENCV": (2, "opencv", (0, 1, 2, 3)),
    "FULL_OPENCV": (2, "opencv", (0, 1, 2, 3, 4, 5, 6, 7)),
    "SIMPLE_RADIAL_FISHEYE": (1, "fisheye", (0,)),
    "RADIAL_FISHEYE": (1, "fisheye", (0, 1)),
    "OPENCV_FISHEYE": (2, "fisheye", (0, 1, 2, 3)),
}
_NERFSTUDIO_NAMES = ("fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "k3", "k4", "p1", "p2", "camera_angle_x")
_PERSPECTIVE = "OPENCV"
# How a recorded camera_info begins, whatever its file is called.
_ROS_BEGINNINGS = ("---", "header:", "image_width:", "camera_name:")
# Pixels are rows and columns: less than this is a calibration's rounding.
_MOST_SKEW = 1e-3
# Those of nerfstudio that are a pinhole with a lens; others (EQUIRECTANGULAR, FISHEYE624 ...) have other rays.
_NERFSTUDIO_MODELS = ("OPENCV", "OPENCV_FISHEYE", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
# Where scripts name a camera's kind, and the kinds that are other rays than a pinhole's with OpenCV's lens. Such a
# field may hold a product's name as well, so only known words count.
_KIND_NAMES = ("camera_model", "camera_type", "model", "model_type", "projection", "distortion_model")
_OTHER_RAYS = re.compile(r"equirect|spheric|panoram|omni|ortho|double.?sphere|\bmei\b|\be?ucm\b", re.IGNORECASE)
_ROS_LENSES = {
    "plumb_bob": "opencv",
    "rational_polynomial": "opencv",
    "equidistant": "fisheye",
    "fisheye": "fisheye",
}


def read_camera(
    path: Path, camera_id: int | None = None, size: tuple[int, int] | None = None
) -> tuple[Intrinsics, str]:
    """Read ``path`` and say which format it was in. Raises ``InputError`` where there is no camera in it.

    ``camera_id`` picks one of several cameras of a COLMAP model. A bare matrix says no size: it is for images of
    ``size`` (width, height).
    """
    try:
        head = path.read_text(errors="replace")[:4096].lstrip("\ufeff \t\r\n")
    except OSError as error:
        raise InputError(
            f"The camera file {path} could not be read: {error.strerror}.", "Check the path."
        ) from error
    try:
        if head.startswith("%YAML") or '"opencv-matrix"' in head:
            return _from_mapping(_opencv_storage(path), path), "OpenCV"
        if head.startswith("{"):
            return _from_json(read_json(path), path)
        if path.suffix.lower() in {".yaml", ".yml"} or head.startswith(_ROS_BEGINNINGS):
            return _from_documents(path), "ROS camera_info"
        if (matrix := _bare_matrix(path)) is not None:
            return _from_matrix(matrix, size, path), "a bare matrix"
        return _colmap(path, camera_id), "COLMAP"
    except NOT_AS_EXPECTED as error:
        raise _no_camera(path) from error


def _no_camera(path: Path) -> InputError:
    return InputError(
        f"No camera was found in {path}.",
        "Give OpenCV YAML or JSON, COLMAP cameras.txt, nerfstudio transforms.json, ROS camera_info, Open3D JSON "
        "or a 3 x 3 matrix in text, or the numbers themselves: --fx --fy --cx --cy.",
    )


def _from_documents(path: Path) -> Intrinsics:
    """A camera in YAML; a recorded topic has one message after another, parted by ``---``, all of one camera."""
    try:
        documents = [value for value in yaml.safe_load_all(path.read_text()) if value is not None]
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}.", "Check the camera file.") from error
    if not documents:
        raise _no_camera(path)
    cameras = dict.fromkeys(_from_mapping(value, path) for value in documents)
    if len(cameras) > 1:
        raise InputError(
            f"{path} has {len(cameras)} different cameras, one after the other.", "Leave one of them in the file."
        )
    return next(iter(cameras))


def _bare_matrix(path: Path) -> Any:
    """The 3 x 3 (or 4 x 4, with zeros and a one around it) matrix that is all there is in ``path``; else None."""
    try:
        numbers = np.array(path.read_text().replace(",", " ").split(), np.float64)
    except ValueError:
        return None
    side = {9: 3, 16: 4}.get(len(numbers))
    return None if side is None else numbers.reshape(side, side)[:3, :3]


def _from_matrix(matrix: Any, size: tuple[int, int] | None, path: Path) -> Intrinsics:
    (fx, skew, cx), (below, fy, cy), last = matrix.tolist()
    if below or last != [0.0, 0.0, 1.0] or abs(skew) > _MOST_SKEW * fx:
        raise InputError(
            f"The matrix in {path} is not fx 0 cx, 0 fy cy, 0 0 1.", "Give the numbers: --fx --fy --cx --cy."
        )
    if size is None:
        raise InputError(f"{path} does not say which image size it is for.", "Add width and height, as in JSON.")
    return _camera(*size, [fx, fy, cx, cy], "none", ())


class _OpenCvLoader(yaml.SafeLoader):
    """Reads OpenCV's matrices as plain objects; its own reader writes past one whose size is not its data's."""


_OpenCvLoader.add_multi_constructor(
    "tag:yaml.org,2002:opencv-", lambda loader, _, node: loader.construct_mapping(node, deep=True)
)


def _opencv_storage(path: Path) -> Any:
    """The top level of an OpenCV FileStorage: numbers, texts and matrices. Its JSON is YAML as well."""
    # "%YAML:1.0" is OpenCV's own spelling of what a file of YAML may begin with.
    text = re.sub(r"^\ufeff?%YAML.*", "", path.read_text(errors="replace"))
    try:
        return next((value for value in yaml.load_all(text, _OpenCvLoader) if value is not None), None)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not as OpenCV writes it: {error}.", "Check the calibration file.") from error


def _from_json(value: Any, path: Path) -> tuple[Intrinsics, str]:
    if any(name in value for name in ("fl_x", "camera_angle_x", "frames")):
        return _nerfstudio(value), "transforms.json"
    if "intrinsic_matrix" in value:
        return _open3d(value), "Open3D"
    if any("intrinsics" in pose for pose in value.get("poses", [])):
        raise InputError(f"{path} has a camera for each of its frames.", "Give one camera: --fx --fy --cx --cy.")
    _check_kind(value, path)
    if "fx" in value:
        return _plain(value, path), "intrinsics"
    return _from_mapping(value, path), "OpenCV"


def _check_kind(value: dict[str, Any], path: Path) -> None:
    """Refuse what is said to be no pinhole, or a fisheye under a name that no reader of the lens looks at."""
    kinds = [kind for name in _KIND_NAMES if isinstance(kind := value.get(name), str)]
    other = [kind for kind in kinds if _OTHER_RAYS.search(kind)] + ["with a mirror parameter xi"] * bool(
        value.get("xi")
    )
    if other:
        raise InputError(
            f"The camera in {path} is {other[0]}, which has no rays of a pinhole with a lens.",
            "Make pinhole images of it with the program that calibrated it, and give their camera.",
        )
    if any("fisheye" in kind.lower() for kind in kinds) and not (
        value.get("distortion_model") or value.get("fisheye_model")
    ):
        raise InputError(
            f"The camera in {path} is called a fisheye, and its coefficients do not say so.",
            'Add "distortion_model": "fisheye" if they are those of OpenCV\'s fisheye model.',
        )


def _plain(value: dict[str, Any], path: Path) -> Intrinsics:
    if "width" not in value or "height" not in value:
        raise InputError(
            f"{path} has focal lengths but not the size of the image they are for.", "Add width and height to it."
        )
    model, lens = _plain_lens(value)
    numbers = [float(value[name]) for name in ("fx", "fy", "cx", "cy")]
    return _camera(value["width"], value["height"], numbers, model, lens)


def _plain_lens(value: dict[str, Any]) -> tuple[str, Any]:
    """A model and its coefficients, in one list or under their own names."""
    named = next((name for name in _LENS_NAMES if value.get(name) is not None), None)
    asked = value.get("distortion_model")
    if named is not None:
        lens = _matrix(value[named]).ravel()
        return str(asked or ("opencv" if lens.size else "none")), lens
    names = _FISHEYE_NUMBERS if asked == "fisheye" else _LENS_NUMBERS
    lens = np.array([float(value.get(name) or 0.0) for name in names])
    if not lens.any():
        return ("fisheye", lens) if asked == "fisheye" else ("none", ())
    return (str(asked or "opencv"), lens) if lens[5:].any() or asked == "fisheye" else ("opencv", lens[:5])


def _open3d(value: dict[str, Any]) -> Intrinsics:
    # Open3D stores the matrix column by column.
    k = np.array(value["intrinsic_matrix"], np.float64).reshape(3, 3).T
    return _camera(value["width"], value["height"], [k[0, 0], k[1, 1], k[0, 2], k[1, 2]], "none", ())


def _from_mapping(value: Any, path: Path) -> Intrinsics:
    """An OpenCV calibration or a ROS camera_info: the same content under various names."""
    matrix = _matrix(_first(value, _MATRIX_NAMES)).reshape(3, 3)
    named = next((name for name in _LENS_NAMES if value.get(name) is not None), None)
    lens = _matrix(value[named]).ravel() if named else _plain_lens(value)[1]
    width, height = _size(value, path)
    return _camera(
        width, height, [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]], _lens_model(value), lens
    )


def _lens_model(value: dict[str, Any]) -> str:
    if value.get("fisheye_model"):
        return "fisheye"
    named = str(value.get("distortion_model") or "plumb_bob")
    if named not in _ROS_LENSES:
        raise InputError(
            f"The distortion model {named!r} is not known.", f"Known models: {', '.join(sorted(_ROS_LENSES))}."
        )
    return _ROS_LENSES[named]


def _size(value: dict[str, Any], path: Path) -> tuple[float, float]:
    if "image_size" in value or "resolution" in value:
        width, height = value.get("image_size") or value["resolution"]
        return float(width), float(height)
    for names in (("image_width", "image_height"), ("width", "height"), ("image_Width", "image_Height")):
        if all(value.get(name) for name in names):
            return float(value[names[0]]), float(value[names[1]])
    raise InputError(
        f"{path} does not say which image size it is for.", "Add image_width and image_height to the camera file."
    )


def _first(value: dict[str, Any], names: Sequence[str]) -> Any:
    return value[next((name for name in names if value.get(name) is not None), names[0])]


def _matrix(value: Any) -> Any:
    return np.asarray(value["data"] if isinstance(value, dict) else value, np.float64)


def _nerfstudio(value: dict[str, Any]) -> Intrinsics:
    """Intrinsics at the top of the file, or the same ones in every frame."""
    cameras = nerfstudio_cameras(value)
    if any(other != cameras[0] for other in cameras):
        raise InputError(
            "The frames of the transforms.json were taken with different intrinsics.",
            "Give one camera: --fx --fy --cx --cy.",
        )
    return cameras[0]


def nerfstudio_cameras(value: dict[str, Any]) -> list[Intrinsics]:
    """The camera of each frame of a ``transforms.json``; one, of the file itself, where it has no frames.

    Raises ``InputError`` for a camera model that is no pinhole with a lens, ``KeyError`` where numbers miss.
    """
    found: dict[tuple[Any, ...], Intrinsics] = {}
    cameras = []
    for frame in value.get("frames") or [{}]:
        numbers = tuple(frame.get(name, value.get(name)) for name in _NERFSTUDIO_NAMES)
        model = frame.get("camera_model", value.get("camera_model"))
        key = (model, *numbers)
        if key not in found:
            found[key] = _nerfstudio_camera(model or _PERSPECTIVE, value, numbers)
        cameras.append(found[key])
    return cameras


def _nerfstudio_camera(model: str, value: dict[str, Any], numbers: tuple[Any, ...]) -> Intrinsics:
    if model not in _NERFSTUDIO_MODELS:
        raise InputError(
            f"The camera model {model} has no rays of a pinhole with a lens.",
            f"Give images of one of these models: {', '.join(_NERFSTUDIO_MODELS)}.",
        )
    names = _NERFSTUDIO_NAMES
    known = {name: float(number) for name, number in zip(names, numbers, strict=True) if number is not None}
    width, height = known["w"], known["h"]
    fx = known.get("fl_x") or width / 2 / math.tan(known["camera_angle_x"] / 2)
    centre = [corner_to_centre(known.get("cx", width / 2)), corner_to_centre(known.get("cy", height / 2))]
    fisheye = model == "OPENCV_FISHEYE" or value.get("is_fisheye")
    if not fisheye and known.get("k4"):
        raise InputError(
            "The lens has a k4 that multiplies the eighth power of the radius, which OpenCV's model has not.",
            "Undistort the images, or calibrate with k1, k2, k3, p1 and p2 alone.",
        )
    order = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3")
    lens = [known.get(name, 0.0) for name in order]
    return _camera(width, height, [fx, known.get("fl_y", fx), *centre], "fisheye" if fisheye else "opencv", lens)


def _colmap(path: Path, camera_id: int | None) -> Intrinsics:
    lines = (line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#"))
    cameras = {int(words[0]): words[1:] for words in lines}
    if camera_id is None and len(cameras) > 1:
        raise InputError(
            f"{path} has {len(cameras)} cameras.", f"Say which with --camera-id: {', '.join(map(str, cameras))}."
        )
    chosen = min(cameras) if camera_id is None else camera_id
    model, width, height, *parameters = cameras[chosen]
    return colmap_camera(model, float(width), float(height), [float(number) for number in parameters])


def colmap_camera(model: str, width: float, height: float, numbers: Sequence[float]) -> Intrinsics:
    """The camera of COLMAP's ``model`` and parameters; ``InputError`` for a lens that OpenCV does not have."""
    if model not in _COLMAP:
        raise InputError(
            f"COLMAP's camera model {model} has no counterpart in OpenCV.",
            "Undistort the images with COLMAP and use the PINHOLE camera it writes.",
        )
    focal_lengths, lens_model, places = _COLMAP[model]
    focal, coefficients = numbers[:focal_lengths], numbers[focal_lengths + 2 :]
    if len(numbers) < focal_lengths + 2 or len(coefficients) != len(places):
        raise ValueError(f"{model} with {len(numbers)} parameters")
    lens = np.zeros(8 if len(places) > 4 else 4)
    lens[list(places)] = coefficients
    centre = [corner_to_centre(number) for number in numbers[focal_lengths : focal_lengths + 2]]
    return _camera(width, height, [focal[0], focal[-1], *centre], lens_model, lens)


def _camera(width: float, height: float, numbers: Sequence[float], model: str, lens: Any) -> Intrinsics:
    """A lens of zeros is no lens, except that a fisheye bends rays with zeros too."""
    coefficients = tuple(float(number) for number in lens)
    if model == "none" or (model == "opencv" and not any(coefficients)):
        model, coefficients = "none", ()
    fx, fy, cx, cy = (float(number) for number in numbers)
    if not np.isfinite([fx, fy, cx, cy, *coefficients]).all():
        raise ValueError("a number of the camera is not finite")
    return Intrinsics(round(float(width)), round(float(height)), fx, fy, cx, cy, model, coefficients)
