"""How a run goes, told to a reporter: where it began, how far it is, why it pauses.

In: frames done and the reason of a pause, again and again. Out: what the reporter is told, each thing once. This
file does not know how frames are counted.
"""

from dataclasses import dataclass, field

from vda.reporter import Reporter


@dataclass
class Telling:
    """One run. ``total`` are the frames of the merged videos, ``before`` those that were there when it began."""

    reporter: Reporter
    total: int
    before: int
    _began: bool = field(default=False, init=False)
    _paused: str = field(default="", init=False)

    def tell(self, done: int, paused: str) -> None:
        """Tell that ``done`` frames are there; ``paused`` says why nothing goes on: empty where it does."""
        if paused != self._paused:
            self._paused = paused
            self.reporter.say(f"Paused: {paused}." if paused else "There is room again.")
            # A new stage, so that the pause does not count in its rate.
            self._began = False
        if not self._began:
            self._began = True
            if self.before:
                self.reporter.say(f"{self.before} of {self.total} frames were already computed.")
            self.reporter.begin("computing depth", self.total, done)
        self.reporter.at(done)
