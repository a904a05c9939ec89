"""Lengths, cameras and poses of a film, and the points of a frame in its camera's axes.

In go a film and the wishes; out come points, and what a page has to say of them. How lengths are found is
``exporting``'s: here the same rules hold, but that depth without lengths is shown up to scale, and said to be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vda.calibration.fit import Calibration
from vda.camera.intrinsics import Intrinsics
from vda.camera.reconstruction import View
from vda.depthmaps.codes import Float32Array
from vda.depthmaps.colours import Rgb
from vda.depthmaps.doubtful import edge_radius, on_edges, sky
from vda.errors import VdaError
from vda.exporting.clouds import points_of
from vda.exporting.frames import ExportFrame
from vda.exporting.request import Metric
from vda.exporting.stage import cameras_of, metric_of, views_of
from vda.reporter import Reporter
from vda.viewing.film import Film
from vda.viewing.settings import ViewSettings

Points = NDArray[np.float64]

# A surface seen at a slant goes on for ever: what is so many times as far as the middle of all is left out.
_FARTHEST: Final = 30.0
_UNITS: Final = {"metre": "m", "reconstruction": "units of the reconstruction", "relative": ""}


@dataclass(frozen=True)
class Space:
    """How values become places: ``camera_of`` a frame is for the video's size, ``views`` are known poses."""

    film: Film
    metric: Metric
    cameras: Mapping[int, Intrinsics]
    views: Mapping[int, View]
    notes: tuple[str, ...]
    _radius: int

    @classmethod
    def of(cls, film: Film, settings: ViewSettings, reporter: Reporter) -> "Space":
        """Find out lengths, cameras and poses. Raises what an export raises where poses do not fit the depth."""
        asked = settings.in_space
        views = views_of(asked, film.index, film.depth, reporter)
        choice = asked.camera.of_video(film.scene.read_video())
        camera_of = cameras_of(choice, views, (film.info.width, film.info.height), reporter)
        wanted = [frame for frame in film.frames if not views or frame in views]
        notes = []
        known = any(given is not None for given in (choice.numbers, choice.file, choice.fov_deg))
        if not known and not any(view.camera is not None for view in views.values()):
            notes.append(
                "No camera was given: the cloud is that of a lens of 60 degrees from left to right, and another "
                "lens makes it deeper or flatter (--fov, --camera)."
            )
        metric, remarks = _metric(film, settings, views, reporter)
        record = film.record
        radius = edge_radius(record.seen_width, record.settings.get("net_width"))
        cameras = {frame: camera_of(frame) for frame in wanted}
        return cls(film, metric, cameras, views, (*remarks, *notes), radius)

    @property
    def unit(self) -> str:
        """What a length is called; empty where there is none."""
        return _UNITS[self.metric.unit]

    @property
    def is_plain(self) -> bool:
        """Whether values are lengths already."""
        return all((fit.scale, fit.shift) == (1.0, 0.0) for fit in self.metric.calibrations)

    @property
    def fits(self) -> list[dict[str, Any]]:
        """Scale and shift of each shot, by which 1 / length = scale * inverse depth + shift."""
        spans = zip(self.metric.shots, self.metric.calibrations, strict=True)
        return [{"start": shot[0], "stop": shot[1], "scale": fit.scale, "shift": fit.shift} for shot, fit in spans]

    def has(self, place: int) -> bool:
        """Whether the frame at ``place`` has a camera, and so points."""
        return self.film.frames[place] in self.cameras

    def points(self, place: int, most: int) -> tuple[Points, Rgb, float]:
        """At most ``most`` points of a frame, [n, 3] in its camera's axes, their colours, and how far apart they
        are in the middle of the picture. Depth edges and the sky are left out.
        """
        frame = self.film.frames[place]
        values = self.film.values(place)
        height, width = values.shape
        camera = self.cameras[frame].scaled(width, height)
        depth = self._depth(frame, values)
        stride = max(1, int(np.ceil(np.sqrt(width * height / most))))
        picture = ExportFrame(frame, 0.0, self.film.rgb(place), values, depth, camera, None, camera)
        xyz, rgb = points_of(picture, stride)
        middle = float(np.median(xyz[:, 2])) if len(xyz) else 1.0
        return xyz, rgb, middle * stride / camera.fx

    def _depth(self, frame: int, values: Float32Array) -> Points:
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = self.metric.to_depth(frame, values)
        depth[~np.isfinite(depth) | (depth <= 0)] = np.nan
        left_out = sky(depth, np.isnan(values)) | on_edges(depth, self._radius)
        finite = depth[np.isfinite(depth)]
        if finite.size:
            left_out |= depth > _FARTHEST * np.median(finite)
        depth[left_out] = np.nan
        return depth


def _metric(
    film: Film, settings: ViewSettings, views: Mapping[int, View], reporter: Reporter
) -> tuple[Metric, list[str]]:
    """The lengths, and sentences of what has none; without poses nothing has to meet, so none are needed."""
    try:
        metric = metric_of(settings.in_space, film.scene, film.depth, views, reporter)
    except VdaError as error:
        if views:
            raise
        kind = film.record.quantizer.kind
        reporter.say(f"Lengths are not shown. {error.problem}")
        plain = replace(Calibration(1.0, 0.0), kind=kind)
        metric = Metric(((0, 1 << 62),), (plain,), "metre" if kind == "depth" else "relative")
    remarks = []
    if metric.unit == "relative":
        remarks.append("This depth is relative: values have no unit, and the cloud is right up to scale at best.")
        if len(film.record.shots) > 1:
            remarks.append(f"Each of its {len(film.record.shots)} shots has a scale of its own.")
    return metric, remarks
