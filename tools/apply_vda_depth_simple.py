#!/usr/bin/env python3
"""The classic flags of enriching tracks with depth; everything else is ``vda enrich``.

Example: apply_vda_depth_simple.py --tracking tracks.json --depth_dir vda_merged_depth --output tracks_3d.json
"""

from pathlib import Path
from typing import Any

import click

from vda.cli.enrich import enrich, rule_options
from vda.cli.options import Command


@click.command(cls=Command)
@click.option("--tracking", type=click.Path(path_type=Path), required=True, help="The track file.")
@click.option("--depth_dir", type=click.Path(path_type=Path), required=True, help="Folder of depth_000000.png ...")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The track file with 3D positions.")
@rule_options
@click.pass_context
def main(context: click.Context, tracking: Path, depth_dir: Path, **options: Any) -> None:
    """Add the depth and the 3D position to every record of a track file.

    The camera is the track file's own "intrinsics", or given with --fx ... or --camera. Depth without metres has
    to be calibrated, see vda enrich --help.
    """
    context.invoke(enrich, scene=None, tracks=tracking, depth_dir=depth_dir, **options)


if __name__ == "__main__":
    main()
