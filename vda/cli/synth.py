"""``vda synth``: a synthetic video with its ground truth."""

import json
from pathlib import Path

import click

from vda.cli.options import Command, json_option, overwrite_option, quiet_option
from vda.cli.output import say
from vda.cli.types import PATH, SIZE
from vda.shown import counted


@click.command(cls=Command)
@click.argument("out", type=PATH)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another world."
)
@click.option("--frames", type=click.IntRange(min=1), default=100, show_default=True, help="Number of frames.")
@click.option("--size", type=SIZE, default="640x360", show_default=True, help="Size of the pictures.")
@click.option("--fps", type=float, default=25.0, show_default=True, help="Frames per second.")
@click.option(
    "--style", help="room, table, corridor, hall, street, field, yard or abstract [default: by the seed]."
)
@click.option("--motion", help="still, hand, walk, drive, truck, orbit or pan [default: by the seed].")
@click.option(
    "--sins/--no-sins", default=True, show_default=True, help="Noise, blur, wrong exposure and the like."
)
@click.option(
    "--samples",
    type=click.IntRange(1, 4),
    default=2,
    show_default=True,
    help="Its square is the number of rays per pixel.",
)
@click.option(
    "--crf",
    type=click.IntRange(0, 51),
    default=18,
    show_default=True,
    help="Quality of the H.264 video; lower is better.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:0, ...: where to render.")
@overwrite_option
@quiet_option
@json_option
def synth(
    out: Path,
    seed: int,
    frames: int,
    size: tuple[int, int],
    fps: float,
    style: str | None,
    motion: str | None,
    sins: bool,
    samples: int,
    crf: int,
    device: str,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a video by arithmetic in the folder OUT, with its true depth, cameras and tracks.

    Example: vda synth data/made --seed 7 --frames 100 --size 640x360
    """
    from vda.cli.progress import Progress
    from vda.synth.clip import ClipSpec, write_clip

    progress = Progress(quiet)
    spec = ClipSpec(seed, frames, *size, fps, style, motion, sins)
    truth = write_clip(out, spec, device=device, samples=samples, crf=crf, overwrite=overwrite, reporter=progress)
    progress.close()
    summary = (
        f"{counted(frames, 'frame')} in {out}: {truth['style']}, camera {truth['motion']}, "
        f"{counted(len(truth['objects']), 'track')}"
    )
    say(json.dumps(truth) if as_json else summary)
