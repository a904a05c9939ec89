"""The supervisor: every device busy, nothing lost.

    resolve  what was asked for becomes what is used
    seen     what a supervisor sees and can do: data only
    decide   what to do next: a pure function
    endings  what the end of a worker means: a pure function, part of ``decide``
    jobs     the scenes of a run, and what of them is on disk
    crew     the workers: started, found, looked at, ended
    trials   half precision tried on devices
    room     room on the disk for the work
    holding  one supervisor per scene
    telling  how a run goes, told to a reporter
    loop     observe, decide, act
    monitor  chunks and devices, live: what anybody may look at

Nothing here computes depth.
"""

from vda.supervisor.crew import Crew
from vda.supervisor.holding import (
    Held,
    hold,
    make_free,
    require_free,
    require_in_place,
    require_seen,
    require_unsupervised,
)
from vda.supervisor.jobs import Following
from vda.supervisor.loop import Supervisor
from vda.supervisor.room import most_by_frame, outputs_of, require_disk, window_bytes
from vda.supervisor.telling import PaceTelling
from vda.supervisor.trials import Trials, prove_devices

__all__ = [
    "Crew",
    "Following",
    "Held",
    "PaceTelling",
    "Supervisor",
    "Trials",
    "hold",
    "make_free",
    "most_by_frame",
    "outputs_of",
    "prove_devices",
    "require_disk",
    "require_free",
    "require_in_place",
    "require_seen",
    "require_unsupervised",
    "window_bytes",
]
