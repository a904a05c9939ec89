"""What commands print: made fit for a terminal, whatever is in the names of files, devices and formats."""

import sys

import click

from vda.shown import printable


def say(*lines: object, err: bool = False) -> None:
    """Print each of ``lines`` with its line end to standard output, or to standard error.

    A line end within one is part of a name, and is spelled: who reads line by line finds as many as were written.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    fit = "\n".join(printable(str(line), one_line=True) for line in lines)
    shown = fit.encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(shown, err=err)
    except BrokenPipeError:
        # Work goes on though nobody reads how it goes; of results, Click ends the command.
        if not err:
            raise
