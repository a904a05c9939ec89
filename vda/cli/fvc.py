"""``vda fvc``: the data-set stage."""

import click

from vda.cli.options import Group


@click.group("fvc", cls=Group)
def fvc() -> None:
    """Bring a data set of videos to one size, check it, and split it into folds."""
