"""``vda fvc embed``: frames to vectors, by a vision model of the hub."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.options import Command, encoding_option, gathered, json_option, quiet_option, together
from vda.cli.output import say
from vda.cli.types import PATH
from vda.errors import WorkError
from vda.shown import counted

if TYPE_CHECKING:
    from vda.fvc.embed import EmbedSettings

frame_options = together(
    click.option(
        "--format", "form", type=click.Choice(["parquet", "npy"]), default="parquet", show_default=True,
        help="How vectors are written, a file per video.",
    ),
    click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="So many frames per second, by time."),
    click.option("--stride", type=click.IntRange(min=1), default=1, show_default=True, help="Every N-th frame."),
    click.option("--max-frames", "most", type=click.IntRange(min=1), help="No more frames per video than these."),
)  # fmt: skip


@click.command(cls=Command)
@click.argument("metadata", type=PATH)
@click.option("--output-dir", type=PATH, required=True, help="Where the vectors and their table go.")
@click.option("--model", required=True, help="A folder, or a name on the Hugging Face hub.")
@frame_options
@gathered("settings", "vda.fvc.embed:EmbedSettings")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:0, and so on.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=0),
    default=0,
    envvar="VDA_BATCH_SIZE",
    help="Pictures in the model at once [default: 32, halved where memory runs out].",
)
@click.option("--root", type=PATH, help="Where else relative paths are looked for.")
@encoding_option
@quiet_option
@json_option
def embed(
    metadata: Path,
    output_dir: Path,
    model: str,
    settings: "EmbedSettings",
    device: str,
    batch_size: int,
    root: Path | None,
    encoding: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Turn the frames of the videos in METADATA, scaled or not, into vectors by a vision model.

    Example: vda fvc embed scaled/scaled_metadata.csv --output-dir vectors --model OWNER/NAME --fps 2
    """
    from vda.cli.progress import Progress
    from vda.fvc.embed import embed as embed_all
    from vda.fvc.visionmodel import load_vision_model

    progress = Progress(quiet, unit="video")
    loaded = load_vision_model(model, device=device, batch_size=batch_size)
    made = embed_all(metadata, output_dir, loaded, settings, root=root, encoding=encoding, reporter=progress)
    progress.close()
    summary = f"{counted(made.rows, 'video')} in {made.table}: {made.made} embedded now, {made.kept} were there."
    say(json.dumps(made.to_json()) if as_json else summary)
    if made.failed:
        first, reason = next(iter(made.failed.items()))
        raise WorkError(
            f"{len(made.failed)} of {made.rows} videos could not be embedded. The first, {first}: {reason}",
            "Correct these rows and run the same command again; the others are done.",
        )
