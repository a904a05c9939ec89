"""``vda weights``: which checkpoints there are, getting one, and checking a file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vda.cli.options import Group, json_option
from vda.cli.output import say
from vda.cli.types import PATH


@click.group("weights", cls=Group)
def weights() -> None:
    """List, fetch and verify the checkpoints."""


@weights.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the models, their licences, and where their weights are on this machine.

    Example: vda weights list
    """
    from vda.models.weights import CHECKPOINTS, find_weights

    rows: list[dict[str, Any]] = []
    for model, checkpoint in CHECKPOINTS.items():
        found = find_weights(model)
        rows.append({**asdict(checkpoint), "path": found and str(found.path), "sha256": found and found.sha256})
    if as_json:
        say(json.dumps({"models": rows}))
        return
    for row in rows:
        size = f"{row['parameters_m']} M" if row["parameters_m"] else "built in"
        place = row["path"] or f"not here; get it with: vda weights fetch {row['model']}"
        say(f"{row['model']:<12} {size:>9}  {row['licence']:<13} {place}")


@weights.command("fetch")
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
def fetch_command(models: tuple[str, ...], timeout_s: float, as_json: bool) -> None:
    """Get the weights of each MODEL (by default vits) from the Hugging Face hub into its cache.

    HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured.

    Example: vda weights fetch vits
    """
    from vda.models.weights import DEFAULT, require_whole, resolve_weights

    fetched = [resolve_weights(model, timeout_s=timeout_s) for model in models or (DEFAULT,)]
    for file in fetched:
        require_whole(file)
    if as_json:
        say(json.dumps({"files": [{**asdict(file), "path": str(file.path)} for file in fetched]}))
        return
    for file in fetched:
        say(f"{file.model}: {file.path} ({file.source}), sha256 {file.sha256}")
        if file.notice:
            say(file.notice, err=True)


@weights.command("verify")
@click.argument("file", type=PATH)
@json_option
def verify_command(file: Path, as_json: bool) -> None:
    """Hold the names, shapes, values and sha256 of FILE against what is known of the models.

    Nothing in FILE is ever executed.

    Example: vda weights verify video_depth_anything_vits.pth
    """
    from vda.models.weights import verify

    result = verify(file)
    if as_json:
        say(json.dumps({**asdict(result), "path": str(result.path)}))
        return
    say(f"{file} fits {' and '.join(result.fits)}: {result.tensors} tensors, {result.parameters:,} numbers.")
    if len(result.fits) > 1:
        say("Relative and metric checkpoints have the same names and shapes: which it is cannot be seen.")
    say(f"sha256 {result.sha256}: {_KNOWN[result.known]}.")


_KNOWN = {
    True: "that of the published file",
    False: "not that of the published file",
    None: "nothing on this machine to compare it with (vda weights fetch gets the published file)",
}
