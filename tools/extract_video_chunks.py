#!/usr/bin/env python3
"""The classic flags of cutting a planned video into clips; in a scene it is ``vda split --extract``.

Example: extract_video_chunks.py --metadata vda_chunks/chunks_metadata.json --output_dir vda_video_chunks
"""

from pathlib import Path

import click

from vda.cli.options import Command


@click.command(cls=Command)
@click.option("--metadata", type=click.Path(path_type=Path), required=True, help="chunks_metadata.json.")
@click.option("--output_dir", type=click.Path(path_type=Path), required=True, help="For chunk_00.mp4 ...")
@click.option("--overwrite", is_flag=True, help="Write clips again that are there.")
def main(metadata: Path, output_dir: Path, overwrite: bool) -> None:
    """Write each chunk's frames as a clip of its own."""
    from vda.errors import InputError
    from vda.files import read_json
    from vda.scene.planfile import read_plan
    from vda.splitting.extract import extract_clips
    from vda.video import index_frames, probe

    facts = read_json(metadata)
    plan = read_plan(facts)
    info = probe(Path(facts["video_info"]["input_path"]))
    index = index_frames(info)
    if len(index) != plan.total_frames:
        raise InputError(
            f"{info.path} has {len(index)} frames, and the plan was made for {plan.total_frames}.",
            "Plan the video again.",
        )
    paths = extract_clips(info, index, plan, output_dir, overwrite=overwrite)
    click.echo(f"{len(paths)} clips in {output_dir}")


if __name__ == "__main__":
    main()
