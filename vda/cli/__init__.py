"""The program ``vda``: one command per file, a paragraph long, calling one library function.

    types         types of options: sizes, ranges, names out of a registry
    options       what the commands share: options, errors, exit codes
    output        what is printed, fit for a terminal
    progress      bars on a terminal, plain lines otherwise
    foretelling   what a command would do, told
    detaching     the same command again, without a terminal
    depth         ``vda depth``
    split         ``vda split``
    run           ``vda run``
    merge         ``vda merge``
    status        ``vda status``
    monitor       ``vda monitor``
    stop          ``vda stop``
    task          ``vda task``
    redo          ``vda redo``
    clean         ``vda clean``
    relink        ``vda relink``
    trackoptions  what ``vda enrich``, ``vda export`` and ``vda view`` share
    enrich        ``vda enrich``
    export        ``vda export``
    view          ``vda view``
    evaluate      ``vda eval``
    evaltable     the table of ``vda eval``
    comparing     ``vda eval --pairs``
    report        ``vda report``
    gate          conditions of ``vda report --fail-if``
    synth         ``vda synth``
    fvc           ``vda fvc``
    scale         ``vda fvc scale``
    folds         ``vda fvc folds``
    augment       ``vda fvc augment``
    shards        ``vda fvc shards``
    embed         ``vda fvc embed``
    weights       ``vda weights``
    doctor        ``vda doctor``
    completion    ``vda completion``

Commands import what they need when they run, so that ``--help`` answers at once.
"""

import click

from vda.cli.augment import augment
from vda.cli.clean import clean
from vda.cli.completion import completion
from vda.cli.depth import depth
from vda.cli.doctor import doctor
from vda.cli.embed import embed
from vda.cli.enrich import enrich
from vda.cli.evaluate import evaluate
from vda.cli.export import export
from vda.cli.folds import folds
from vda.cli.fvc import fvc
from vda.cli.merge import merge
from vda.cli.monitor import monitor
from vda.cli.options import Group
from vda.cli.output import say
from vda.cli.redo import redo
from vda.cli.relink import relink
from vda.cli.report import report
from vda.cli.run import run
from vda.cli.scale import scale
from vda.cli.shards import shards
from vda.cli.split import split
from vda.cli.status import status
from vda.cli.stop import stop
from vda.cli.synth import synth
from vda.cli.task import task
from vda.cli.view import view
from vda.cli.weights import weights


def _show_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from vda.outlook.versions import lines

        say(*lines())
        ctx.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show all versions."
)
def main() -> None:
    """Turn long videos into consistent depth on every GPU you own, and the depth into 3D.

    Example: vda depth film.mp4
    """


COMMANDS = (
    depth, split, run, merge, status, monitor, stop, task, redo, clean, relink, enrich, export, view, evaluate,
    report, synth, fvc, weights, doctor, completion,
)  # fmt: skip
for command in COMMANDS:
    main.add_command(command)
fvc.add_command(scale)
fvc.add_command(folds)
fvc.add_command(augment)
fvc.add_command(shards)
fvc.add_command(embed)
