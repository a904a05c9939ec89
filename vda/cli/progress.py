"""Progress on standard error: bars on a terminal, plain lines otherwise, nothing with ``-q``."""

import sys
import time

from tqdm import tqdm

from vda.cli.output import say
from vda.shown import duration, printable

_LINE_SECONDS = 5.0
# tqdm's own, without the rate and the time left that it works out by itself.
_EXPECTING = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Progress:
    """A ``Reporter``. Rates and time left count what was done since the stage began, or are what it is told."""

    def __init__(self, quiet: bool = False, unit: str = "frame") -> None:
        self._quiet = quiet
        self._unit = unit
        self._terminal = sys.stderr.isatty()
        self._bar: tqdm[None] | None = None
        self._stage, self._start = "", 0
        self._total: int | None = None
        self._counted: dict[str, int] = {}
        self._began = self._printed = 0.0
        self._expected: str | None = None

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self.close()
        self._stage, self._total, self._start = printable(stage, one_line=True), total, done
        self._counted, self._expected = {}, None
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

    def expect(self, per_second: float | None, seconds_left: float | None) -> None:
        rate = "" if per_second is None else f"{per_second:.1f} {self._unit}s/s"
        left = "" if seconds_left is None else f"{duration(seconds_left)} left"
        self._expected = ", ".join(filter(None, (rate, left)))
        if self._bar is not None:
            self._bar.bar_format = _EXPECTING
            self._bar.set_postfix_str(self._expected, refresh=False)

    def say(self, sentence: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        say(sentence, err=True)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, done: int, seconds: float) -> str:
        # A container may claim fewer frames than there are.
        total = None if self._total is None or done > self._total else self._total
        so_far = f"{done} {self._unit}s" if total is None else f"{done} of {total} {self._unit}s"
        if self._expected is not None:
            return ", ".join(filter(None, (f"{self._stage}: {so_far}", self._expected)))
        rate = (done - self._start) / seconds
        rates = ", ".join(filter(None, (f"{rate:.1f} {self._unit}s/s", self._rates(seconds))))
        left = ""
        if total is not None and rate > 0:
            left = f", {duration((total - done) / rate)} left"
        return f"{self._stage}: {so_far}, {rates}{left}"

    def _rates(self, seconds: float) -> str:
        return ", ".join(f"{count / seconds:.0f} {unit}s/s" for unit, count in self._counted.items())
