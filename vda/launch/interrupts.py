"""Ctrl-C while workers compute: once asks for an end, twice is one. What schedulers send asks for an end as well.

In: signals. Out: whether they came. This file does not know what is ended.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

# What a scheduler sends ahead of a time limit or a preemption.
SCHEDULERS: Final = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def first_is_asked() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT came; the second one raises ``KeyboardInterrupt``.

    Only where SIGINT would raise it at once: a program that has a handler of its own, or ignores the signal, keeps
    that, and so does one that computes in another thread than its first.
    """
    came = False

    def asked(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, asked)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def signals_ask(stop: Path) -> Iterator[None]:
    """As long as this lasts, a scheduler's signals make the file ``stop``; only Python's main thread gets any."""

    def ask() -> None:
        with suppress(OSError):
            stop.touch()

    with _signals_call(ask):
        yield


@contextmanager
def scheduler_asks() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether one of a scheduler's signals came."""
    came = threading.Event()
    with _signals_call(came.set):
        yield came.is_set


@contextmanager
def _signals_call(ask: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        ask()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in SCHEDULERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
