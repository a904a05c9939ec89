#!/usr/bin/env python3
"""The classic flags of merging depth that another program made of chunks; in a scene it is ``vda merge``.

Example: merge_depth_chunks.py --metadata chunks_metadata.json --depth_dir vda_depth_final --output_dir merged
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.merge import other_depth_options
from vda.cli.options import Command, coding_option, gathered_merge, overwrite_option

if TYPE_CHECKING:
    from vda.merging.settings import MergeSettings


@click.command(cls=Command)
@click.option("--metadata", type=click.Path(path_type=Path), required=True, help="chunks_metadata.json.")
@click.option(
    "--depth_dir", type=click.Path(path_type=Path), required=True, help="chunk_00_depths.npz or chunk_00/."
)
@click.option("--output_dir", type=click.Path(path_type=Path), required=True, help="For the depth of the video.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["png16", "png8", "npy", "npz"]),
    default="png16",
    show_default=True,
    help="How depth is written.",
)
@click.option("--create_video", is_flag=True, help="Also write depth_visualization.mp4: the depth in colours.")
@coding_option
@click.option(
    "--align",
    type=click.Choice(["sequential", "smooth"]),
    default="sequential",
    show_default=True,
    help="smooth also mends what chunks differ by beyond scale and shift.",
)
@overwrite_option
@other_depth_options
@gathered_merge
def main(metadata: Path, depth_dir: Path, output_dir: Path, form: str, merge: "MergeSettings") -> None:
    """Bring the depth of all chunks to one scale and blend it where they overlap."""
    from vda.merging.stage import merge_chunks

    result = merge_chunks(metadata, depth_dir, output_dir, replace(merge, formats=(form,)))
    for remark in result.remarks:
        click.echo(remark, err=True)
    click.echo(f"{result.frames} frames of depth in {result.folder}")


if __name__ == "__main__":
    main()
