"""``vda fvc shards``: a scaled data set as WebDataset shards."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.options import Command, encoding_option, gathered, json_option, quiet_option
from vda.cli.output import say
from vda.cli.types import PATH
from vda.shown import counted

if TYPE_CHECKING:
    from vda.fvc.shards import ShardSettings


@click.command(cls=Command)
@click.argument("table", type=PATH)
@click.option("--output-dir", type=PATH, required=True, help="Where the shards and their index go.")
@click.option("--folds", type=PATH, help="A table of folds, if they are not in TABLE.")
@click.option("--metadata", type=PATH, help="What was scaled: its other columns come along.")
@click.option(
    "--max-samples",
    "most_samples",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Videos per shard at most.",
)
@click.option(
    "--max-bytes",
    "most_bytes",
    type=click.IntRange(min=1),
    default=1 << 30,
    show_default=True,
    help="Bytes per shard at most, unless one video has more.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another order."
)
@encoding_option
@gathered("settings", "vda.fvc.shards:ShardSettings")
@quiet_option
@json_option
def shards(
    table: Path,
    output_dir: Path,
    folds: Path | None,
    metadata: Path | None,
    encoding: str | None,
    settings: "ShardSettings",
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the videos of TABLE, a scaled_metadata.csv or its folder, as tars that webdataset reads.

    With folds or splits, no shard holds videos of two.

    Example: vda fvc shards scaled/scaled_metadata_folds.csv --output-dir shards --max-samples 500
    """
    from vda.cli.progress import Progress
    from vda.fvc.shards import write_shards

    progress = Progress(quiet, unit="shard")
    made = write_shards(
        table, output_dir, settings, folds=folds, metadata=metadata, encoding=encoding, reporter=progress
    )
    progress.close()
    made_of = f"{counted(made.samples, 'video')} in {counted(made.shards, 'shard')}"
    summary = f"{made_of} in {made.folder}: {made.written} written now."
    say(json.dumps(made.to_json()) if as_json else summary)
