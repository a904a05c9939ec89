"""``vda fvc``: the data-set stage."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.options import Group, json_option


@click.group("fvc", cls=Group)
def fvc() -> None:
    """Bring a data set of videos to one size, check it, and split it into folds."""


@fvc.command("folds")
@click.argument("metadata", type=click.Path(path_type=Path))
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="How many.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other folds."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=".csv, .parquet or .arrow [default: METADATA's name + _folds].",
)
@click.option("--alone", is_flag=True, help="Only row, video_path and fold, in place of the whole table.")
@click.option("--check", is_flag=True, help="Make none: look for leaks in the column fold that is there.")
@click.option("--overwrite", is_flag=True, help="Replace the file, or the column fold, that is there.")
@json_option
def folds_command(metadata: Path, output: Path | None, check: bool, as_json: bool, **options: Any) -> None:
    """Give every row of METADATA a fold; no original is parted from its augmentations, no dup_group torn apart.

    Folds are even in label and platform as far as that allows.

    Example: vda fvc folds metadata.csv --folds 5 --seed 0
    """
    from vda.fvc.folds import check_folds, write_folds

    beside = metadata.with_name(f"{metadata.stem}_folds{metadata.suffix}")
    made = check_folds(metadata) if check else write_folds(metadata, output or beside, **options)
    if as_json:
        click.echo(json.dumps(made.to_json()))
        return
    for fold, (rows, groups, shares) in enumerate(zip(made.rows, made.groups, made.shares, strict=True)):
        parts = ", ".join(f"{100 * share:.1f} % {label}" for label, share in shares.items())
        click.echo(f"fold {fold}: {rows} rows in {groups} groups, {parts}")
    click.echo(f"Labels' shares differ by {made.points:.1f} points at most; nothing lies in two folds.")
    for remark in made.remarks():
        click.echo(remark)
    if made.path is not None:
        click.echo(made.path)
