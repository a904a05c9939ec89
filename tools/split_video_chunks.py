#!/usr/bin/env python3
"""The classic flags of planning chunks that are videos of their own; in a scene it is ``vda split``.

Example: split_video_chunks.py --video film.mp4 --output_dir vda_chunks --num_chunks 5
"""

from pathlib import Path

import click

from vda.cli.options import Command


@click.command(cls=Command)
@click.option("--video", "--input", "video", type=click.Path(path_type=Path), required=True, help="The video.")
@click.option("--output_dir", type=click.Path(path_type=Path), required=True, help="For chunks_metadata.json.")
@click.option("--num_chunks", "--num_gpus", "chunks", type=click.IntRange(min=1), required=True)
@click.option("--overlap", type=click.IntRange(min=0), default=32, show_default=True, help="Frames shared.")
def main(video: Path, output_dir: Path, chunks: int, overlap: int) -> None:
    """Count the frames of a video exactly and write the plan of its chunks."""
    from vda.files import write_json
    from vda.scene.chunks import plan_independent
    from vda.scene.planfile import plan_metadata
    from vda.scene.scene import PLAN_NAME
    from vda.splitting.stage import video_facts
    from vda.video import index_frames, probe

    info = probe(video)
    index = index_frames(info)
    plan = plan_independent(len(index), chunks, overlap)
    path = output_dir / PLAN_NAME
    write_json(path, plan_metadata(plan, video_facts(info, index)))
    click.echo(f"{plan.total_frames} frames in {len(plan.chunks)} chunks: {path}")


if __name__ == "__main__":
    main()
