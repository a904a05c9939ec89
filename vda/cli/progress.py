"""Progress on standard error: bars on a terminal, plain lines otherwise, nothing with ``-q``."""

import sys
import time

from tqdm import tqdm

from vda.cli.output import say
from vda.shown import printable

_LINE_SECONDS = 5.0


class Progress:
    """A ``Reporter``. Rates and time left count only what was done since the stage began."""

    def __init__(self, quiet: bool = False, unit: str = "frame") -> None:
        self._quiet = quiet
        self._unit = unit
        self._terminal = sys.stderr.isatty()
        self._bar: tqdm[None] | None = None
        self._stage, self._start = "", 0
        self._total: int | None = None
        self._counted: dict[str, int] = {}
        self._began = self._printed = 0.0

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self.close()
        self._stage, self._total, self._start = printable(stage, one_line=True), total, done
        self._counted = {}
        self._began = self._printed = time.monotonic()
        if not self._quiet and self._terminal:
            self._bar = tqdm(desc=self._stage, total=total, initial=done, unit=self._unit, leave=True)

    def at(self, done: int) -> None:
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif not self._quiet and now - self._printed >= _LINE_SECONDS:
            self._printed = now
            say(self._line(done, now - self._began), err=True)

    def count(self, more: int, unit: str) -> None:
        self._counted[unit] = self._counted.get(unit, 0) + more
        if self._bar is not None:
            self._bar.set_postfix_str(self._rates(time.monotonic() - self._began), refresh=False)

    def say(self, sentence: str) -> None:
        if self._quiet:
            return
        self.close()
        say(sentence, err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, done: int, seconds: float) -> str:
        rate = (done - self._start) / seconds
        rates = ", ".join(filter(None, (f"{rate:.1f} {self._unit}s/s", self._rates(seconds))))
        if self._total is None:
            return f"{self._stage}: {done} {self._unit}s, {rates}"
        left = f", {(self._total - done) / rate:.0f} s left" if rate > 0 else ""
        return f"{self._stage}: {done} of {self._total} {self._unit}s, {rates}{left}"

    def _rates(self, seconds: float) -> str:
        return ", ".join(f"{count / seconds:.0f} {unit}s/s" for unit, count in self._counted.items())
