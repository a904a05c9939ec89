"""``vda enrich``: 3D positions on somebody's tracks."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.options import Command, json_option, quiet_option, together
from vda.errors import UsageError

_FORMATS = ("classic", "mot", "coco", "ultralytics", "supervision")
_STATISTICS = ("median", "nearest", "percentile")


class Size(click.ParamType):
    """``WxH``, in pixels."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            width, height = (int(part) for part in value.lower().split("x"))
        except ValueError:
            self.fail(f"{value!r} is not WxH, such as 1920x1080.", param, ctx)
        return width, height


class Crop(click.ParamType):
    """``LEFT,TOP,WIDTH,HEIGHT``, in pixels."""

    name = "L,T,W,H"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            left, top, width, height = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not LEFT,TOP,WIDTH,HEIGHT in pixels.", param, ctx)
        return left, top, width, height


depth_folder_option = click.option(
    "--depth-dir", type=click.Path(path_type=Path), help="Depth in place of the scene's own."
)
track_options = together(
    click.option(
        "--depth-scale", type=float, help="Codes a metre of images without a record: 1000 for millimetres."
    ),
    click.option("--track-format", type=click.Choice(_FORMATS), help="Where the content does not tell."),
    click.option(
        "--frame-base", type=click.Choice(["0", "1"]), help="How the file counts frames, if it does not say."
    ),
    click.option("--frame-field", help="The field that holds the frame, in CSV and JSON lists."),
    click.option("--track-size", type=Size(), help="Size of the image the tracks' pixels are for."),
)
camera_options = together(
    click.option("--fx", type=float, help="Focal length in pixels; --fy, --cx and --cy go with it."),
    click.option("--fy", type=float, help="[default: fx]"),
    click.option("--cx", type=float, help="Principal point [default: the middle]."),
    click.option("--cy", type=float),
    click.option(
        "--camera-size", type=Size(), help="Size of the image that --fx ... are for [default: the video's]."
    ),
    click.option(
        "--camera", type=click.Path(path_type=Path), help="OpenCV, COLMAP, nerfstudio, ROS or Open3D file."
    ),
    click.option("--camera-id", type=int, help="Which camera of a COLMAP file."),
    click.option("--camera-turn", type=click.Choice(["0", "90", "180", "270"]), help="Turn the camera clockwise."),
    click.option("--camera-crop", type=Crop(), help="The part of the camera's image that the video shows."),
    click.option("--fov", type=float, help="Horizontal field of view in degrees."),
    click.option("--assume-fov", is_flag=True, help="Go on with 60 degrees where nothing is known."),
)
calibration_options = together(
    click.option("--scale", type=float, help="1/metres = scale * inverse depth + shift."),
    click.option("--shift", type=float, help="[default: 0]"),
    click.option(
        "--known-distance", multiple=True, metavar="FRAME:X,Y=METRES", help="Two or more, along the axis."
    ),
    click.option("--known-size", metavar="HEIGHT_M[,CLASS]", help="How tall the tracked things are."),
    click.option(
        "--pitch", type=click.FloatRange(-75, 75), help="Degrees the camera looks down [default: by the boxes]."
    ),
    click.option("--reference-depth", type=click.Path(path_type=Path), help="Depth in metres: a scene or images."),
    click.option("--reference-scale", type=float, help="Codes a metre of the reference's images."),
    click.option("--allow-relative", is_flag=True, help="Positions up to scale, as vda_position_relative."),
)
region_options = together(
    click.option("--at", type=click.Choice(["auto", "window", "box", "mask"]), default="auto", show_default=True),
    click.option("--window", type=int, default=7, show_default=True, help="Side of the window, in depth pixels."),
    click.option("--inner", type=float, default=0.5, show_default=True, help="Part of the box that is looked at."),
    click.option("--box-point", type=click.Choice(["center", "bottom"]), default="center", show_default=True),
    click.option("--statistic", type=click.Choice(_STATISTICS), default="median", show_default=True),
    click.option("--percentile", type=float, default=20.0, show_default=True, help="For --statistic percentile."),
    click.option("--min-share", type=float, default=0.1, show_default=True, help="Least share of valid pixels."),
)
motion_options = together(
    click.option("--smooth", is_flag=True, help="Smooth every track, bridge its gaps, and give velocities."),
    click.option(
        "--acceleration", type=float, default=2.0, show_default=True, help="How hard things speed up, m/s^2."
    ),
    click.option("--max-gap", type=float, default=1.0, show_default=True, help="Longest gap bridged, in seconds."),
    click.option("--fps", type=float, help="Frames a second, where no scene knows the times."),
)
output_options = together(
    click.option("--also", type=click.Choice(["csv", "parquet"]), multiple=True, help="A flat table as well."),
    click.option("--figure", type=click.Path(path_type=Path), help="Tracks drawn: a .png, or a short .mp4."),
    click.option("--overwrite", is_flag=True, help="Replace what is there."),
    quiet_option,
    json_option,
)
rule_options = together(
    track_options, camera_options, calibration_options, region_options, motion_options, output_options
)


@click.command(cls=Command)
@click.argument("scene", type=click.Path(path_type=Path), required=False)
@click.option(
    "--tracks", type=click.Path(path_type=Path), required=True, help="The tracker's file, or label folder."
)
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The same format, with fields added."
)
@depth_folder_option
@rule_options
def enrich(scene: Path | None, tracks: Path, output: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Say where in space the things of a track file are, by the depth of SCENE.

    Example: vda enrich data/film --tracks tracks.json --output tracks_3d.json --camera camera.yaml
    """
    from vda.cli.progress import Progress
    from vda.enriching.stage import enrich_file

    progress = Progress(quiet)
    settings = enrich_settings(scene, tracks, output, **options)
    report = enrich_file(settings, say=progress.say, begin=progress.begin, at=progress.at)
    progress.close()
    if as_json:
        click.echo(json.dumps(report.to_json()))
        return
    click.echo(f"{report.enriched} of {report.records} records have a position: {report.written[0]}")
    for reason, count in report.skipped.items():
        click.echo(f"  {count} skipped: {reason}")


def enrich_settings(scene: Path | None, tracks: Path, output: Path, **options: Any) -> Any:
    """The library's settings from the command's options."""
    from vda.enriching.smoothing import MotionModel
    from vda.enriching.stage import DepthChoice, EnrichSettings
    from vda.tracks import Asked

    base = None if options["frame_base"] is None else int(options["frame_base"])
    masks = options["at"] == "mask"
    return EnrichSettings(
        tracks=tracks,
        output=output,
        depth=DepthChoice(scene, options["depth_dir"], options["depth_scale"]),
        track_format=options["track_format"],
        asked=Asked(base, options["frame_field"], options["track_size"], masks),
        camera=camera_choice(**options),
        calibration=_calibration(**options),
        region=_region(**options),
        allow_relative=options["allow_relative"],
        motion=MotionModel(options["acceleration"], options["max_gap"]) if options["smooth"] else None,
        times_fps=options["fps"],
        also=options["also"],
        figure=options["figure"],
        overwrite=options["overwrite"],
    )


def camera_choice(**options: Any) -> Any:
    from vda.camera.choice import CameraChoice, CameraSetting

    turn = options["camera_turn"]
    setting = CameraSetting(None if turn is None else int(turn) // 90, options["camera_crop"])
    numbers = (options["fx"], options["fy"], options["cx"], options["cy"])
    if options["fx"] is None and any(number is not None for number in numbers):
        raise UsageError("--fy, --cx and --cy are of no use without --fx.", "Give --fx as well.")
    return CameraChoice(
        numbers=numbers if options["fx"] is not None else None,
        numbers_size=options["camera_size"],
        file=options["camera"],
        camera_id=options["camera_id"],
        fov_deg=options["fov"],
        assume_fov=options["assume_fov"],
        setting=setting,
    )


def _calibration(**options: Any) -> Any:
    from vda.calibration.choice import CalibrationChoice
    from vda.calibration.fit import KnownDistance

    scale, shift = options["scale"], options["shift"]
    if scale is None and shift is not None:
        raise UsageError("--shift is of no use without --scale.", "Give --scale as well.")
    return CalibrationChoice(
        numbers=None if scale is None else (scale, shift or 0.0),
        distances=tuple(KnownDistance.parse(text) for text in options["known_distance"]),
        height=_height(options["known_size"]),
        pitch_deg=options["pitch"],
        reference=options["reference_depth"],
        reference_scale=options["reference_scale"],
    )


def _height(text: str | None) -> tuple[float, str | None] | None:
    if text is None:
        return None
    metres, _, category = text.partition(",")
    try:
        return float(metres), category.strip() or None
    except ValueError as error:
        raise UsageError(f"{text!r} is not a known size.", "Write it as HEIGHT_M or HEIGHT_M,CLASS.") from error


def _region(**options: Any) -> Any:
    from vda.calibration.sampling import Region

    return Region(
        kind=options["at"],
        window_px=options["window"],
        inner=options["inner"],
        box_point=options["box_point"],
        statistic=options["statistic"],
        percentile=options["percentile"],
        min_share=options["min_share"],
    )
