"""``--dry-run``: what a command would do is told, and nothing is done."""

import json
from typing import TYPE_CHECKING

from vda.cli.output import say

if TYPE_CHECKING:
    from vda.api.rehearsal import Outlook
    from vda.fvc.foretold import ScaleForecast

_NOTHING = "Nothing was done: this is what the command would do without --dry-run."


def foretell(outlook: "Outlook", *, as_json: bool) -> None:
    """Print ``outlook``, a block for each film; raise what the command itself would end with."""
    from vda.outlook.forecast import total_lines

    if as_json:
        say(json.dumps({"dry_run": True, **outlook.to_json()}))
    else:
        for forecast in outlook.forecasts:
            say(*forecast.lines())
        if len(outlook.forecasts) > 1:
            say(*total_lines(outlook.forecasts))
        say(*outlook.said, _NOTHING)
    outlook.require_all()


def foretell_scaling(forecast: "ScaleForecast", *, as_json: bool) -> None:
    """Print what ``vda fvc scale`` would do; raise what it would end with."""
    if as_json:
        say(json.dumps({"dry_run": True, **forecast.to_json()}))
    else:
        say(*forecast.lines(), _NOTHING)
    forecast.require_all()
