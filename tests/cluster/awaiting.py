"""Waiting for what other programs do, with an end to it and a word on what was there instead."""

import signal
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

# Of anything that ought to take seconds, on a machine that has much else to do.
PATIENCE = 240.0


def until(there: Callable[[], T], what: str, told: Callable[[], str] = str, seconds: float = PATIENCE) -> T:
    """What ``there`` gives once that is true; else fail, with what is awaited and with what ``told`` says."""
    deadline = time.monotonic() + seconds
    while True:
        if found := there():
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}\n{told()}", pytrace=False)
        signal.sigtimedwait([], 0.05)
