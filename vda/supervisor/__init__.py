"""The supervisor: every device busy, nothing lost. ``decide`` is pure, ``loop`` observes and acts."""

from vda.supervisor.crew import Crew
from vda.supervisor.holding import hold, make_free
from vda.supervisor.loop import RunProgress, Supervisor
from vda.supervisor.room import require_disk, window_bytes
from vda.supervisor.trials import prove_devices

__all__ = [
    "Crew",
    "RunProgress",
    "Supervisor",
    "hold",
    "make_free",
    "prove_devices",
    "require_disk",
    "window_bytes",
]
