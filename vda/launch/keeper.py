"""Keeps a command alive without systemd: starts it again whenever it dies of anything but its own decision.

    python -m vda.launch.keeper LOCK COMMAND...

One keeper a lock: a second one ends at once, in silence. It knows nothing of what the command does.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from vda.launch.detached import FINAL_CODES
from vda.machine.locks import exclusive_lock

# A single death is mended at once; what dies again and again does not fill the log.
_WAIT_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)
# Whoever ran for so long did not die of how it was started.
_SOUND_SECONDS = 600.0


def keep(command: list[str]) -> int:
    """Run ``command`` until it ends by its own decision; return its exit code."""
    deaths = 0
    while True:
        began = time.monotonic()
        # A session of its own, so that what ends the keeper need not end the work.
        code = subprocess.run(command, stdin=subprocess.DEVNULL, start_new_session=True).returncode
        if code in FINAL_CODES:
            return code
        deaths = 0 if time.monotonic() - began > _SOUND_SECONDS else deaths + 1
        wait = _WAIT_SECONDS[min(deaths, len(_WAIT_SECONDS)) - 1]
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} it died ({code}) and is started again\n")
        time.sleep(wait)


def main(arguments: list[str]) -> int:
    """``LOCK COMMAND...``: keep the command unless somebody else, who holds LOCK, already does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with exclusive_lock(Path(arguments[0])) as ours:
        return keep(arguments[1:]) if ours else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
