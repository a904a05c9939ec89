"""What stands in the way of commands on Ray, in two sentences.

In: what Ray says, and what its nodes answer. Out: errors to raise. Nothing is tried here.
"""

import re
from pathlib import Path
from typing import Any

from vda import __version__
from vda.errors import UsageError, WorkError
from vda.scene.runstate import last_lines


def refused(why: str, name: str, log: Path, *, is_ours: bool) -> UsageError | WorkError:
    """Ray does not begin, or came to its end: ``why``, in its words. ``is_ours``: it was started here."""
    if "ersion mismatch" in why:
        return UsageError(
            f"{name} has another Python or Ray than this machine: {_versions(why)}.",
            "Give both the same versions of Python and of the package ray.",
        )
    tail = last_lines(log) if log.is_file() else ""
    if "InvalidAuthToken" in tail:
        return UsageError(
            f"{name} takes nothing without its token.",
            "Set RAY_AUTH_MODE=token here, with the token in ~/.ray/auth_token or in RAY_AUTH_TOKEN.",
        )
    where = "it could not be started" if is_ours else f"{name} could not be reached"
    return WorkError(
        f"Ray cannot be used: {where} or came to an end ({why.strip().splitlines()[0].rstrip('.')}).",
        "See that the cluster answers ('ray status') and give the same command again; it goes on.",
        log=log if log.is_file() else None,
        tail=tail,
    )


def unfit(about: dict[str, Any]) -> UsageError:
    """A node answered that it cannot work for us: ``raywork.about_node``."""
    node, what = about["node"], about["what"]
    if about["unfit"] == "folder":
        return UsageError(
            f"Ray's node {node} does not see {what}, or another folder of that name.",
            "Put it on a file system that all nodes see under the same path.",
        )
    lacks = f"its {what} has no package vda"
    if about["unfit"] == "version":
        lacks = f"it has version {what}, and here it is {__version__}"
    return UsageError(
        f"Ray's node {node} lacks this program: {lacks}.",
        f"Install the same version there ({__version__}), or start Ray there from an environment that has it.",
    )


def _versions(why: str) -> str:
    """``Ray: 2.60.0 Python: 3.11.7 there, ...``, of what Ray says in some lines."""
    found = re.findall(r"(Ray|Python): ([\w.]+)", why)
    half = len(found) // 2
    there, here = (" and ".join(" ".join(pair) for pair in part) for part in (found[:half], found[half:]))
    return f"{there} there, {here} here"
