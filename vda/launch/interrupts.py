"""Ctrl-C while workers compute: once asks for an end, twice is one.

In: SIGINT. Out: whether it came. This file does not know what is ended.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


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
