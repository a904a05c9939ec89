"""``vda export``: depth for other programs."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.enrich import camera_choice, camera_options
from vda.cli.options import Command, json_option, quiet_option, scene_argument, together

_TARGETS = ("ply", "nerfstudio", "gaussian-splatting", "tum", "rerun")

export_options = together(
    click.option("--to", "target", type=click.Choice(_TARGETS), required=True),
    click.option(
        "--output", type=click.Path(path_type=Path), required=True, help="A folder; for rerun a .rrd file."
    ),
    click.option(
        "--poses", type=click.Path(path_type=Path), help="transforms.json, COLMAP model or TUM trajectory."
    ),
    click.option("--image-base", type=click.Choice(["0", "1"]), help="How the images' names count frames."),
    click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Every n-th frame."),
    click.option("--stride", type=click.IntRange(min=1), default=2, show_default=True, help="Every n-th pixel."),
    click.option("--near", type=float, default=0.0, show_default=True, help="Nothing nearer than this."),
    click.option("--far", type=float, default=float("inf"), show_default=True, help="Nothing farther than this."),
    click.option("--allow-relative", is_flag=True, help="Clouds up to scale, of depth without metres."),
    click.option("--tracks", type=click.Path(path_type=Path), help="An enriched classic track file, for rerun."),
    click.option("--overwrite", is_flag=True, help="Replace what is there."),
)


@click.command(cls=Command)
@scene_argument
@export_options
@camera_options
@quiet_option
@json_option
def export(scene: Path, image_base: str | None, quiet: bool, as_json: bool, **options: Any) -> None:
    """Write the depth of SCENE for another program.

    Example: vda export data/film --to gaussian-splatting --poses colmap/sparse/0 --output splat
    """
    from vda.cli.progress import Progress
    from vda.exporting import ExportSettings
    from vda.exporting import export as run

    progress = Progress(quiet)
    own = {
        name: options[name] for name in ExportSettings.__dataclass_fields__ if name in options and name != "camera"
    }
    base = None if image_base is None else int(image_base)
    settings = ExportSettings(scene=scene, image_base=base, camera=camera_choice(**options), **own)
    report = run(settings, say=progress.say, begin=progress.begin, at=progress.at)
    progress.close()
    click.echo(json.dumps(report.to_json()) if as_json else f"{report.frames} frames in {settings.output}")
