"""Which Ray is used, and whether anybody listens there.

In: what was given, the environment. Out: an address to give to Ray, or None for a Ray of our own. Whether it is a
Ray that listens is not known here.
"""

import os
import re
import socket

from vda.errors import UsageError

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
