"""Which Ray is used, and what stands in the way of commands there, in two sentences.

In: an address, what Ray says, what its nodes answer. Out: errors to raise. Whether it is a Ray that listens at an
address is not known here.
"""

import os
import re
import socket
from pathlib import Path
from typing import Any

from vda import __version__
from vda.errors import UsageError, WorkError

AUTO = "auto"
_DIAL_SECONDS = 10.0


def ray_address(given: str | None) -> str | None:
    """The cluster to use: what was given, else what ``RAY_ADDRESS`` says; None is one of our own."""
    address = given or os.environ.get("RAY_ADDRESS") or None
    if address and address.startswith("ray://"):
        raise UsageError(
            f"{address} is the address of Ray's client server, which cannot take tasks back.",
            "Give the cluster's own address (10.0.0.1:6379), on one of its nodes, where 'auto' finds it too.",
        )
    if address in (None, "local"):
        return None
    if address != AUTO and not re.fullmatch(r"[^/]+:\d+", address):
        raise UsageError(
            f"{address} is no address of a Ray cluster.", "Give HOST:PORT, such as 10.0.0.1:6379, or auto."
        )
    return address


def unanswered(address: str | None) -> str:
    """Why nobody answers at ``address``; empty where somebody does. Ray itself would try for minutes."""
    if address is None or address == AUTO:
        return ""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _DIAL_SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""


def refused(why: str, name: str, log: Path, mark: str, *, is_ours: bool) -> UsageError | WorkError:
    """Ray does not begin, or came to its end: ``why``, in its words. ``is_ours``: it was started here.

    What it printed is in ``log`` behind ``mark``; before that is what it did for others.
    """
    if "ersion mismatch" in why:
        return UsageError(
            f"{name} has another Python or Ray than this machine: {_versions(why)}.",
            "Give both the same versions of Python and of the package ray.",
        )
    tail = _last_lines(log, mark)
    if "InvalidAuthToken" in tail:
        return UsageError(
            f"{name} takes nothing without its token.",
            "Set RAY_AUTH_MODE=token here, with the token in ~/.ray/auth_token or in RAY_AUTH_TOKEN.",
        )
    where = "it could not be started" if is_ours else f"{name} could not be reached"
    return WorkError(
        f"Ray cannot be used: {where} or came to an end ({why.strip().splitlines()[0].rstrip('.')}).",
        "See that the cluster answers ('ray status') and give the same command again; it goes on.",
        log=log if tail else None,
        tail=tail,
    )


def _last_lines(log: Path, mark: str) -> str:
    if not mark or not log.is_file():
        return ""
    _, found, after = log.read_text(errors="replace").rpartition(mark)
    return "\n".join(after.strip().splitlines()[-12:]) if found else ""


def unfit(about: dict[str, Any]) -> UsageError:
    """A node answered that it cannot work for us: ``raywork.about_node``."""
    node, what = about["node"], about["what"]
    if about["unfit"] == "folder":
        return UsageError(
            f"Ray's node {node} does not see this machine's {what}.",
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
