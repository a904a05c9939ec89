"""``vda fvc folds``: folds, or train, val and test, that never part what belongs together."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vda.cli.options import Command, encoding_option, json_option, quiet_option, together
from vda.cli.output import say
from vda.cli.types import PATH, SHARES
from vda.shown import counted

if TYPE_CHECKING:
    from vda.fvc.balance import Folds

part_options = together(
    click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Number of folds."),
    click.option("--shares", type=SHARES, help="A column split of train, val and test instead of folds."),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other folds."
    ),
    click.option("--keep", "kept_from", type=PATH, help="A table with folds: its rows keep theirs."),
    click.option("--alone", is_flag=True, help="Only row, video_path and fold, in place of the whole table."),
    click.option("--overwrite", is_flag=True, help="Replace the file, or the column fold, that is there."),
)
check_options = together(
    click.option("--near-duplicates", is_flag=True, help="Open the videos: what looks alike hangs together."),
    click.option("--root", type=PATH, help="Where else relative paths are looked for."),
    encoding_option,
    click.option(
        "--strict", is_flag=True, help="Refuse originals that are no row or several, and lacking labels."
    ),
)


@click.command(cls=Command)
@click.argument("metadata", type=PATH)
@part_options
@check_options
@click.option(
    "--output",
    type=PATH,
    help=".csv, .tsv, .json, .jsonl, .parquet, .arrow, or .gz [default: METADATA's name + _folds].",
)
@click.option("--check", is_flag=True, help="Make none: look for leaks in the column fold or split that is there.")
@quiet_option
@json_option
def folds(
    metadata: Path,
    near_duplicates: bool,
    root: Path | None,
    encoding: str | None,
    strict: bool,
    output: Path | None,
    check: bool,
    quiet: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Give every row of METADATA a fold; no original is parted from its augmentations, no dup_group torn apart.

    Folds are even in label and platform as far as that allows.

    Example: vda fvc folds metadata.csv --folds 5 --seed 0
    """
    from vda.cli.progress import Progress
    from vda.fvc.folds import check_folds, write_folds

    progress = Progress(quiet, unit="video")
    looking: dict[str, Any] = {
        "near_duplicates": near_duplicates,
        "root": root,
        "encoding": encoding,
        "strict": strict,
        "reporter": progress,
    }
    stem, *suffixes = metadata.name.rsplit(".", 2 if metadata.suffix == ".gz" else 1)
    beside = metadata.parent / ".".join((f"{stem}_folds", *suffixes))
    made = (
        check_folds(metadata, **looking) if check else write_folds(metadata, output or beside, **looking, **asked)
    )
    progress.close()
    if as_json:
        say(json.dumps(made.to_json()))
    else:
        _show(made)


def _show(made: "Folds") -> None:
    """The parts line by line, then what there is to say of them."""
    found = zip(made.parts.names, made.rows, made.groups, made.shares, strict=True)
    for name, rows, groups, shares in found:
        labels = ", ".join(f"{100 * share:.1f} % {label}" for label, share in shares.items())
        say(f"{made.parts.column} {name}: {counted(rows, 'row')} in {counted(groups, 'group')}, {labels}")
    say(f"Labels' shares differ by {made.points:.1f} points at most; nothing lies in two {made.parts.column}s.")
    for remark in made.remarks():
        say(remark)
    if made.path is not None:
        say(made.path)
