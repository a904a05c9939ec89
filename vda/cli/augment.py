"""``vda fvc augment``: the stage before scaling."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.options import Command, encoding_option, gathered, json_option, quiet_option, together
from vda.cli.output import say
from vda.cli.types import PATH, OneOf
from vda.errors import WorkError
from vda.shown import counted

if TYPE_CHECKING:
    from vda.fvc.augment import AugmentSettings

augment_options = together(
    click.option(
        "--augmentations",
        "count",
        type=click.IntRange(min=1),
        default=10,
        show_default=True,
        help="Augmentations per original.",
    ),
    click.option(
        "--kind",
        "kinds",
        type=OneOf("vda.fvc.kinds:KINDS"),
        multiple=True,
        help="Only this kind; may be given several times [default: all ten, in turn].",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other pictures."
    ),
    click.option(
        "--crf", type=click.IntRange(0, 51), default=10, show_default=True, help="Quality of H.264; 0 is the best."
    ),
)


def _settings(count: int, kinds: tuple[str, ...], seed: int, crf: int) -> "AugmentSettings":
    from vda.fvc.augment import AugmentSettings
    from vda.fvc.kinds import KINDS

    return AugmentSettings(count=count, kinds=kinds or tuple(KINDS), seed=seed, crf=crf)


@click.command(cls=Command)
@click.argument("metadata", type=PATH)
@click.option("--output-dir", type=PATH, required=True, help="Where augmentations and their table go.")
@augment_options
@click.option("--root", type=PATH, help="Where else relative paths are looked for.")
@encoding_option
@gathered("settings", _settings)
@quiet_option
@json_option
def augment(
    metadata: Path,
    output_dir: Path,
    root: Path | None,
    encoding: str | None,
    settings: "AugmentSettings",
    quiet: bool,
    as_json: bool,
) -> None:
    """Make augmentations of every original in METADATA, with their depth and tracks, and a table for scaling.

    Example: vda fvc augment videos.csv --output-dir augmented --augmentations 10
    """
    from vda.cli.progress import Progress
    from vda.fvc.augment import augment as augment_all

    progress = Progress(quiet, unit="video")
    result = augment_all(metadata, output_dir, settings, root=root, encoding=encoding, reporter=progress)
    progress.close()
    summary = (
        f"{counted(result.rows, 'row')} in {result.metadata}: {counted(result.made, 'augmentation')} made now, "
        f"{result.kept} were there."
    )
    say(json.dumps(result.to_json()) if as_json else summary)
    if result.failed:
        first, reason = next(iter(result.failed.items()))
        raise WorkError(
            f"{len(result.failed)} augmentations could not be made. The first, {first}: {reason}",
            "Correct these rows and run the same command again; the others are done.",
        )
