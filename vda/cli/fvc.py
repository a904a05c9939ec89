"""``vda fvc``: the data-set stage."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.options import Group, encoding_option, json_option, quiet_option
from vda.cli.output import say
from vda.errors import WorkError
from vda.shown import counted


@click.group("fvc", cls=Group)
def fvc() -> None:
    """Bring a data set of videos to one size, check it, and split it into folds."""


@fvc.command("verify")
@click.argument("metadata", type=click.Path(path_type=Path), required=False)
@click.option("--output-dir", "folder", type=click.Path(path_type=Path), help="Where scaled videos are, if any.")
@click.option("--root", type=click.Path(path_type=Path), help="Where else relative paths are looked for.")
@encoding_option
@click.option(
    "--augmentations",
    type=click.IntRange(min=0),
    help="Augmentations expected per original [default: any number].",
)
@click.option(
    "--decode/--no-decode", default=True, show_default=True, help="Decode every file, or only compare checksums."
)
@click.option("--show", type=click.IntRange(min=0), default=20, show_default=True, help="Findings shown per kind.")
@quiet_option
@json_option
def verify_command(show: int, quiet: bool, as_json: bool, **options: Any) -> None:
    """Say what is missing, incomplete, broken or left over: in METADATA alone, or with it in what was scaled.

    METADATA is the table that was scaled, or the scaled_metadata.csv. Exits 1 if anything is wrong.

    Example: vda fvc verify videos.csv --output-dir scaled --augmentations 10
    """
    from vda.cli.progress import Progress
    from vda.fvc.verify import verify

    progress = Progress(quiet, unit="file")
    result = verify(reporter=progress, **options)
    progress.close()
    if as_json:
        say(json.dumps(result.to_json()))
    else:
        _show(result, show)
    if result.findings:
        raise WorkError(
            f"The data set is not whole: {len(result.findings)} findings.",
            "Run 'vda fvc scale' for what is missing, broken or out of date, and remove files that no row names.",
        )


def _show(result: Any, show: int) -> None:
    """The table of counts, then the findings, kind by kind."""
    say(
        f"{counted(result.rows, 'row')} of {counted(result.originals, 'original')}, naming "
        f"{counted(result.files, 'file')}"
    )
    if result.unsigned:
        say(f"{result.unsigned} rows have no checksums to hold their files against")
    if result.unseen:
        say(f"{result.unseen} sources are not there, and were not compared")
    for kind, count in result.counts().items():
        say(f"{kind:<26}{count:>6}")
    for kind, count in result.counts().items():
        found = [finding for finding in result.findings if finding.kind == kind]
        for finding in found[:show]:
            say(f"{kind}: {finding.name}" + (f" ({finding.detail})" if finding.detail else ""))
        if count > show:
            say(f"{kind}: {count - show} more (--show {count}, or --json)")
