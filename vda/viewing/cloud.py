"""The cloud of a frame, the camera that saw it and the way that the camera took, as viser shows them.

In go points in a camera's axes and poses; out come nodes of a viser scene. Points stay in their camera's axes, and
the pose moves the node, so that half precision is enough for them far from the world's origin. All lengths are
scaled so that the middle of the first frame is three units away, for viser's steps and limits are made for rooms.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vda.viewing.space import Space

Floats = NDArray[np.float64]

_MIDDLE: Final = 3.0
_FRUSTUM: Final = 0.15
_WAY_COLOUR: Final = (230, 90, 20)
# A line through more places is no smoother on any screen.
_MOST_PLACES: Final = 2000
# As large as the distance between them at the middle: nearer ones leave gaps, farther ones overlap.
_POINT_SIZE: Final = 1.0


class Cloud:
    """A viser server's scene, filled with what belongs to one frame after another."""

    def __init__(self, server: Any, space: Space, most: int) -> None:
        """``server`` is a ``viser.ViserServer``; ``most`` is how many points a frame has at most."""
        self._server, self._space, self._most = server, space, most
        self._first = next(place for place in range(len(space.film.frames)) if space.has(place))
        xyz, _, _ = space.points(self._first, most)
        self._scale = _MIDDLE / float(np.median(xyz[:, 2])) if len(xyz) else 1.0
        server.gui.configure_theme(show_logo=False, show_share_button=False)
        server.gui.main_panel.minimize()
        self._look_from_behind()
        self._draw_way()

    def show(self, place: int) -> int:
        """Show the frame at ``place``; return how many points it has: 0 where it has no camera."""
        from scipy.spatial.transform import Rotation

        if not self._space.has(place):
            self._server.scene.remove_by_name("/cloud")
            return 0
        xyz, rgb, apart = self._space.points(place, self._most)
        where = self._pose(place)
        turn = Rotation.from_matrix(where[:3, :3]).as_quat(scalar_first=True)
        position = where[:3, 3] * self._scale
        camera = self._space.cameras[self._space.film.frames[place]]
        with self._server.atomic():
            self._server.scene.add_point_cloud(
                "/cloud",
                (xyz * self._scale).astype(np.float32),
                rgb,
                point_size=max(apart * self._scale * _POINT_SIZE, 1e-4),
                point_shading="flat",
                wxyz=turn,
                position=position,
            )
            self._server.scene.add_camera_frustum(
                "/camera",
                2 * float(np.arctan(camera.height / 2 / camera.fy)),
                camera.width / camera.fx * camera.fy / camera.height,
                scale=_FRUSTUM,
                thickness=2.0,
                thickness_units="screen",
                color=_WAY_COLOUR,
                wxyz=turn,
                position=position,
            )
        self._server.flush()
        return len(xyz)

    def _pose(self, place: int) -> Floats:
        """Camera to world, [4, 4]; without poses every camera stands in the middle of the world."""
        view = self._space.views.get(self._space.film.frames[place])
        return np.eye(4) if view is None else view.camera_to_world

    def _look_from_behind(self) -> None:
        where = self._pose(self._first)
        scene, initial = self._server.scene, self._server.initial_camera
        up = -where[:3, 1]
        scene.set_up_direction(tuple(up))
        # From beside the camera, so that it is seen what is deep, and with its own angle, so that all is in sight.
        eye, aim = np.array([0.7, -0.5, -0.7]), np.array([0.0, 0.1, 0.8 * _MIDDLE])
        centre = where[:3, 3] * self._scale
        camera = self._space.cameras[self._space.film.frames[self._first]]
        initial.fov = 2 * float(np.arctan(camera.height / 2 / camera.fy))
        initial.up = up
        initial.position = centre + where[:3, :3] @ eye
        initial.look_at = centre + where[:3, :3] @ aim

    def _draw_way(self) -> None:
        """The places that the camera was at, in order, with a line from each to the next."""
        views = sorted(self._space.views.values(), key=lambda view: view.frame)
        step = max(1, len(views) // _MOST_PLACES)
        places = np.array([view.camera_to_world[:3, 3] for view in views[::step]]) * self._scale
        if len(places) > 1:
            self._server.scene.add_line_segments(
                "/way",
                np.stack([places[:-1], places[1:]], axis=1).astype(np.float32),
                _WAY_COLOUR,
                thickness=2.0,
                thickness_units="screen",
            )
