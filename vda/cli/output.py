"""What commands print: made fit for a terminal, whatever is in the names of files, devices and formats."""

import sys

import click

from vda.shown import printable


def say(text: object = "", *, err: bool = False) -> None:
    """Print ``text`` with its line end to standard output, or to standard error."""
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = printable(str(text)).encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(shown, err=err)
    except BrokenPipeError:
        # Work goes on though nobody reads how it goes; of results, Click ends the command.
        if not err:
            raise
