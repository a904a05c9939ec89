"""Somebody's reconstruction of the scene: where its images were taken, and the points it saw in them.

In goes a COLMAP sparse model, a nerfstudio ``transforms.json``, the project's own ``cameras.json``, or a
trajectory in TUM's format; out comes a ``View`` for each image, in the Convention of ``camera`` and the
reconstruction's own unit of length. This file does not know depth images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.camera.colmapbinary import damaged_file
from vda.camera.conventions import corner_to_centre, from_opengl, pose_of
from vda.camera.files import colmap_camera, nerfstudio_cameras
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import read_cameras_json, require_rigid
from vda.errors import InputError, UsageError
from vda.files import read_json
from vda.records import NOT_AS_EXPECTED
from vda.reporter import Reporter, Silence
from vda.stills.numbering import number_names

Floats = NDArray[np.float64]

# Which frame an image is of is only known beside the names of the others.
_UNNUMBERED = -1
# Time, tx ty tz, qx qy qz qw.
_TUM_COLUMNS = 8
# A quaternion's length is 1 but for rounding; what is next to nothing is no turn.
_LEAST_NORM = 1e-6
# A camera tracked at half the video's rate is still known at every frame.
_MOST_STEPS = 2.0


@dataclass(frozen=True)
class View:
    """An image of the reconstruction: its name, the video's frame, its pose and camera (None: not said).

    ``camera_to_world`` float64 [4, 4]; ``pixels`` [n, 2] and ``depth`` [n] are the points seen in it, if any.
    """

    name: str
    frame: int
    camera_to_world: Floats
    camera: Intrinsics | None
    pixels: Floats
    depth: Floats


def read_reconstruction(
    path: Path,
    times_s: Floats,
    image_base: int | None = None,
    *,
    frames: Sequence[int] | None = None,
    named: bool = False,
    by_order: bool = False,
    image_folder: str | None = None,
    reporter: Reporter | None = None,
) -> list[View]:
    """Read the views in order of their frames.

    An image belongs to the frame whose number in its name is the one that varies (``number_names``), counted from
    ``image_base``, which has to be given unless a 0 occurs. With ``by_order`` the images are the video's frames in
    the order of their names, and there has to be one for each. Of a rig's images those in ``image_folder`` are
    taken. A trajectory is taken at ``times_s`` [frames], the seconds at which ``frames`` (None: 0, 1, ...) are
    shown. Where the frames were images all along (``named``), numbers are theirs, and no base is asked for. Of
    several COLMAP models the largest is taken, and that is said. Raises ``InputError`` where there is nothing to
    read, names tell no frames, several cameras took a frame and nothing says which is meant, or a pose is none.
    """
    is_json = path.suffix.lower() == ".json" and not path.is_dir()
    value = read_json(path) if is_json else None
    own = isinstance(value, dict) and "poses" in value
    if own or not (is_json or path.is_dir()):
        _refuse_naming(path, image_base, image_folder)
        known = range(len(times_s)) if frames is None else frames
        return _own(path) if own else _trajectory(path, times_s, known)
    views = _transforms(path, value) if is_json else _colmap(path, reporter or Silence())
    if not views:
        raise InputError(f"{path} has no images with a pose.", "Give a finished reconstruction.")
    for view in views:
        require_rigid(view.camera_to_world, f"{view.name} in {path}")
    views = _of_one_camera(path, views, image_folder, by_order=by_order)
    if by_order and len(views) != len(times_s):
        raise InputError(
            f"{path} has {len(views)} images with a pose, and the video {len(times_s)} frames: none is paired.",
            "Name images after the frames of the video, as frame_000012.png, and leave out --by-order.",
        )
    numbering = number_names([view.name for view in views], path, by_order=by_order)
    ordered = zip(numbering.places, numbering.frames, strict=True)
    numbered = [replace(views[place], frame=frame) for place, frame in ordered]
    if by_order:
        return numbered if frames is None else [replace(view, frame=frames[view.frame]) for view in numbered]
    return list(_counted_from_zero(path, numbered, 0 if named and image_base is None else image_base))


def _refuse_naming(path: Path, base: int | None, folder: str | None) -> None:
    if base is not None or folder is not None:
        raise UsageError(
            f"{path} has no images' names, so --image-base and --image-folder have no use there.",
            "Leave them out, or give the reconstruction that they are for.",
        )


def _of_one_camera(path: Path, views: list[View], folder: str | None, *, by_order: bool) -> list[View]:
    """Of a rig's images those of one camera. Raises ``InputError`` where two folders have images of one frame."""
    by_folder: dict[str, list[View]] = {}
    for view in views:
        by_folder.setdefault(str(PurePosixPath(view.name).parent), []).append(view)
    if folder is not None:
        wanted = str(PurePosixPath(folder))
        if wanted not in by_folder:
            raise InputError(
                f"No image of {path} is in a folder {folder}.", f"Give --image-folder {_one_of(by_folder)}."
            )
        return by_folder[wanted]
    if len(by_folder) > 1:
        frames = [frame for group in by_folder.values() for frame in _frames_of(path, group)]
        if by_order or len(set(frames)) < len(frames):
            raise InputError(
                f"{path} has images of the same frames in {len(by_folder)} folders, as of several cameras.",
                f"Say which of them took this video: --image-folder {_one_of(by_folder)}.",
            )
    return views


def _one_of(names: Iterable[str]) -> str:
    return "|".join(sorted(names))


def _frames_of(path: Path, views: list[View]) -> tuple[int, ...]:
    return number_names([view.name for view in views], path).frames


def _counted_from_zero(path: Path, views: list[View], base: int | None) -> Iterable[View]:
    lowest = min(view.frame for view in views)
    if base is None and lowest > 0:
        raise InputError(
            f"Nothing says whether the images of {path} count frames from 0 or from 1 (the lowest is {lowest}).",
            "Say it with --image-base 0 or --image-base 1.",
        )
    if lowest < (base or 0):
        raise InputError(f"{path} has an image {lowest}, below the first.", "Give --image-base 0.")
    return (replace(view, frame=view.frame - (base or 0)) for view in views)


def _own(path: Path) -> list[View]:
    """A ``cameras.json``, which says which frame each pose is of."""
    nothing = (np.zeros((0, 2)), np.zeros(0))
    cameras = sorted(read_cameras_json(path), key=lambda camera: camera.frame)
    views = [
        View(camera.name, camera.frame, camera.camera_to_world, camera.intrinsics, *nothing)
        for camera in cameras
        if camera.camera_to_world is not None
    ]
    if not views:
        raise InputError(f"{path} has no poses.", "Give the cameras of a reconstruction.")
    for view in views:
        require_rigid(view.camera_to_world, f"frame {view.frame} in {path}")
    twice = next((one.frame for one, other in pairwise(views) if one.frame == other.frame), None)
    if twice is not None:
        raise InputError(f"{path} has several poses of frame {twice}.", "Leave one in for each frame.")
    return views


def _transforms(path: Path, value: Any) -> list[View]:
    nothing = (np.zeros((0, 2)), np.zeros(0))
    try:
        return [
            View(
                str(frame["file_path"]),
                _UNNUMBERED,
                from_opengl(pose_of(frame["transform_matrix"])),
                camera,
                *nothing,
            )
            for frame, camera in zip(value["frames"], nerfstudio_cameras(value), strict=True)
        ]
    except NOT_AS_EXPECTED as error:
        raise InputError(
            f"{path} has no pose for each of its frames.", "Give a finished transforms.json."
        ) from error


def _colmap(folder: Path, reporter: Reporter) -> list[View]:
    """A sparse model, binary or text: ``sparse/0`` itself or a folder that has it."""
    try:
        import pycolmap
    except ImportError as error:
        raise UsageError(
            "COLMAP models need pycolmap.", "Install it: pip install 'vda-toolkit[export]'."
        ) from error
    inner = (folder, *sorted(folder.glob("sparse/*")), *sorted(folder.glob("*")))
    places = [place for place in inner if _is_model(place)]
    if not places:
        raise InputError(f"{folder} holds no COLMAP model.", "Give the folder with cameras, images and points3D.")
    models = {place: _read_colmap(pycolmap, place) for place in dict.fromkeys(places)}
    # COLMAP numbers the pieces of a reconstruction as it begins them: the first may be the smallest.
    inside = max(models, key=lambda place: models[place].num_reg_images())
    if len(models) > 1:
        counts = {place: model.num_reg_images() for place, model in models.items()}
        others = ", ".join(f"{place} ({count})" for place, count in counts.items() if place != inside)
        reporter.say(f"The model {inside} is taken, with {counts[inside]} images; others: {others}.")
    model = models[inside]
    try:
        return [_colmap_view(model, image) for image in model.images.values() if image.has_pose]
    # An image of a camera, or with a point, that there is not; a name in no encoding.
    except (LookupError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"The COLMAP model in {inside} is damaged: {error}.", "Export it again.") from error


def _read_colmap(pycolmap: Any, place: Path) -> Any:
    if (name := damaged_file(place)) is not None:
        raise InputError(f"{place / name} ends before what it counts.", "Export the COLMAP model again.")
    try:
        return pycolmap.Reconstruction(str(place))
    except (RuntimeError, ValueError, LookupError) as error:
        raise InputError(f"The COLMAP model in {place} cannot be read: {error}.", "Export it again.") from error


def _is_model(folder: Path) -> bool:
    return any((folder / f"images{suffix}").is_file() for suffix in (".bin", ".txt"))


def _colmap_view(model: Any, image: Any) -> View:
    known = model.cameras[image.camera_id]
    camera = colmap_camera(known.model_name, known.width, known.height, list(known.params))
    camera_from_world = np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])
    seen = [point for point in image.points2D if point.has_point3D()]
    world = np.array([model.points3D[point.point3D_id].xyz for point in seen], np.float64).reshape(-1, 3)
    depth = world @ camera_from_world[2, :3] + camera_from_world[2, 3]
    pixels = corner_to_centre(np.array([point.xy for point in seen], np.float64).reshape(-1, 2))
    pose = np.linalg.inv(camera_from_world)
    return View(image.name, _UNNUMBERED, pose, camera, pixels[depth > 0], depth[depth > 0])


def _trajectory(path: Path, times_s: Floats, frames: Sequence[int]) -> list[View]:
    """TUM: ``time tx ty tz qx qy qz qw`` per line, camera to world; the pose at each frame's time."""
    try:
        words = (line.split() for line in path.read_text().splitlines())
        lines = [line for line in words if line and not line[0].startswith("#")]
        rows = np.array(lines, np.float64).reshape(len(lines), _TUM_COLUMNS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a trajectory: {error}.", "Give TUM's: time tx ty tz qx qy qz qw a line."
        ) from error
    if not len(rows) or not len(times_s):
        raise InputError(f"{path} has no poses, or the video no frames.", "Give a trajectory of this video.")
    known = np.isfinite(rows).all(axis=1) & (np.linalg.norm(rows[:, 4:], axis=1) > _LEAST_NORM)
    if not known.all():
        raise InputError(
            f"{path} has a line that is no pose: {' '.join(lines[int(np.argmin(known))])}.",
            "Leave out lines of times at which the camera was lost.",
        )
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    # Two lines of one time leave nothing to interpolate between.
    rows = rows[np.append(True, np.diff(rows[:, 0]) > 0)]
    step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else np.inf
    views = [
        _trajectory_view(frame, pose)
        for frame, time_s in zip(frames, times_s, strict=True)
        if (pose := _pose_at(float(time_s), rows, step)) is not None
    ]
    if not views:
        raise InputError(
            f"No time in {path} is that of a frame of the video.",
            "Give times on the video's own clock, in seconds.",
        )
    return views


def _pose_at(time_s: float, rows: Floats, step_s: float) -> Floats | None:
    """Place and quaternion [7] at a time: between two lines, or that of a line within half a frame's ``step_s``.

    Lines are interpolated (straight, and by slerp) where they are no further apart than two frames; over a longer
    gap nobody knows how the camera moved.
    """
    from scipy.spatial.transform import Rotation, Slerp

    after = int(np.searchsorted(rows[:, 0], time_s))
    if 0 < after < len(rows) and rows[after, 0] - rows[after - 1, 0] <= _MOST_STEPS * step_s:
        before, behind = rows[after - 1], rows[after]
        turn = Slerp([before[0], behind[0]], Rotation.from_quat([before[4:], behind[4:]]))(time_s).as_quat()
        share = (time_s - before[0]) / (behind[0] - before[0])
        return np.concatenate([before[1:4] + share * (behind[1:4] - before[1:4]), turn])
    places = [place for place in (after - 1, after) if 0 <= place < len(rows)]
    near = min(places, key=lambda place: abs(rows[place, 0] - time_s))
    return rows[near, 1:] if abs(rows[near, 0] - time_s) <= step_s / 2 else None


def _trajectory_view(frame: int, at: Floats) -> View:
    from scipy.spatial.transform import Rotation

    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(at[3:]).as_matrix()
    pose[:3, 3] = at[:3]
    return View(f"frame_{frame:06d}.png", frame, pose, None, np.zeros((0, 2)), np.zeros(0))
