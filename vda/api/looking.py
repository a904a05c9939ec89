"""A page to look at a scene: ``vda.view``.

In: a scene and the options of ``vda view``, as keywords. Out: a page that is served until it is closed, or one in
a file. This file does not know what a page shows.
"""

import os
import sys
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from vda.api.results import StrPath
from vda.api.space import Base, Crop, Size, Turn, camera_choice, path_of
from vda.reporter import Reporter, Silence
from vda.tracks import Asked
from vda.viewing.door import Door
from vda.viewing.settings import LOOPBACK, ViewSettings, exposure
from vda.viewing.stage import keep_view, open_view


class ViewPage:
    """What ``vda.view`` gives: the ``url`` of a page that is served until ``close``, or the ``path`` of a file.

    The other of the two is None. A context manager closes it; so does the end of the program.
    """

    def __init__(self, url: str | None, path: Path | None, serving: ExitStack) -> None:
        self.url, self.path, self._serving = url, path, serving

    def close(self) -> None:
        """Serve the page no longer; a file stays."""
        self._serving.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()


def view(
    scene: StrPath,
    *,
    tracks: StrPath | None = None,
    track_format: str | None = None,
    frame_base: Base | None = None,
    frame_field: str | None = None,
    track_size: Size | None = None,
    colormap: str = "inferno",
    export: StrPath | None = None,
    export_frames: int | None = None,
    overwrite: bool = False,
    host: str = LOOPBACK,
    port: int = 0,
    no_browser: bool = False,
    poses: StrPath | None = None,
    image_base: Base | None = None,
    image_folder: str | None = None,
    by_order: bool = False,
    fx: float | None = None,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
    camera_size: Size | None = None,
    camera: StrPath | None = None,
    camera_id: int | None = None,
    camera_turn: Turn | None = None,
    camera_crop: Crop | None = None,
    fov: float | None = None,
    assume_fov: bool = False,
    reporter: Reporter | None = None,
) -> ViewPage:
    """Look at ``scene``: frame and depth, values, tracks, and the cloud to turn around: ``vda view``.

    The page is served to this machine alone, unless ``host`` says otherwise, under an address that nobody can
    guess, and a browser is opened where there is a display (``no_browser``: none is). With ``export`` it is kept
    in that file. ``reporter`` is told what is shown. Raises ``SceneError`` for a scene that is not merged,
    ``InputError`` for tracks of another film, ``UsageError`` without viser and for a port that is taken.
    """
    settings = view_settings(
        scene,
        tracks=tracks,
        track_format=track_format,
        frame_base=frame_base,
        frame_field=frame_field,
        track_size=track_size,
        colormap=colormap,
        export=export,
        export_frames=export_frames,
        overwrite=overwrite,
        host=host,
        port=port,
        poses=poses,
        image_base=image_base,
        image_folder=image_folder,
        by_order=by_order,
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
        camera_size=camera_size,
        camera=camera,
        camera_id=camera_id,
        camera_turn=camera_turn,
        camera_crop=camera_crop,
        fov=fov,
        assume_fov=assume_fov,
    )
    reporter, serving = reporter or Silence(), ExitStack()
    if settings.export is not None:
        return ViewPage(None, keep_view(settings, reporter=reporter).path, serving)
    door = serving.enter_context(open_view(settings, reporter=reporter))
    if (warning := exposure(settings.host)) is not None:
        reporter.say(f"Warning: {warning}")
    if not no_browser:
        open_browser(door)
    return ViewPage(door.url, None, serving)


def open_browser(door: Door) -> None:
    """Open the page where there is a display to see it on."""
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(door.ticket())


def view_settings(
    scene: StrPath,
    *,
    tracks: StrPath | None = None,
    track_format: str | None = None,
    frame_base: Base | None = None,
    frame_field: str | None = None,
    track_size: Size | None = None,
    colormap: str = "inferno",
    export: StrPath | None = None,
    export_frames: int | None = None,
    overwrite: bool = False,
    host: str = LOOPBACK,
    port: int = 0,
    poses: StrPath | None = None,
    image_base: Base | None = None,
    image_folder: str | None = None,
    by_order: bool = False,
    fx: float | None = None,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
    camera_size: Size | None = None,
    camera: StrPath | None = None,
    camera_id: int | None = None,
    camera_turn: Turn | None = None,
    camera_crop: Crop | None = None,
    fov: float | None = None,
    assume_fov: bool = False,
) -> ViewSettings:
    """What ``vda view`` is asked: ``viewing.stage.open_view`` serves the page, ``keep_view`` writes a file."""
    return ViewSettings(
        scene=Path(scene),
        tracks=path_of(tracks),
        track_format=track_format,
        asked=Asked(frame_base, frame_field, track_size),
        poses=path_of(poses),
        image_base=image_base,
        image_folder=image_folder,
        by_order=by_order,
        camera=camera_choice(
            fx, fy, cx, cy, camera_size, camera, camera_id, camera_turn, camera_crop, fov, assume_fov
        ),
        colormap=colormap,
        export=path_of(export),
        export_frames=export_frames,
        overwrite=overwrite,
        host=host,
        port=port,
    )
