"""The supervisor: every device busy, nothing lost. ``decide`` is pure, ``loop`` observes and acts."""

from vda.supervisor.holding import hold, make_free
from vda.supervisor.loop import RunProgress, Supervisor

__all__ = ["RunProgress", "Supervisor", "hold", "make_free"]
