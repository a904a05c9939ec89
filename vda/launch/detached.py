"""Work that goes on without the terminal, the editor and the login that started it.

In: a command and a log. Out: the command, running by itself, and sentences that say how. Where a user's systemd
answers it becomes a service: a memory killer ends whole control groups, and a session of its own would still be in
the terminal's. Elsewhere it gets a session of its own and a keeper that starts it again. What the command does is
not known here.
"""

import getpass
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vda.errors import SceneError
from vda.files import storage_errors
from vda.machine.locks import lock_is_held

# Exit codes that mean an end, not an accident: done, incomplete, bad input, interrupted.
FINAL_CODES = (0, 1, 2, 130)
UNITS_VARIABLE = "VDA_UNITS"
"""Set in a service's environment: its workers become units of their own."""

# systemd answers at once or not at all; this is for a machine under load.
_TIMEOUT_SECONDS = 20.0
# What a process started by systemd does not inherit by itself, and the work may depend on.
_INHERITED = (
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "TMPDIR",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
)
_INHERITED_PREFIXES = ("VDA_", "HF_", "OMP_", "PYTHON", "PYTORCH_", "NVIDIA_")


@dataclass(frozen=True)
class Detached:
    """How it runs now, in sentences; ``service`` is the unit's name, None for a session of its own."""

    service: str | None
    sentences: tuple[str, ...]


def detach(command: Sequence[str], name: str, log: Path, keeper_lock: Path) -> Detached:
    """Start ``command`` so that nothing of the caller's is needed any more; return at once.

    ``name`` is the service's; ``keeper_lock`` is held as long as a keeper without systemd lives. Raises
    ``SceneError`` where the same work already goes on.
    """
    if lock_is_held(keeper_lock):
        raise already_running(name)
    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
    answer = _start_service(command, name, log)
    if answer is None:
        return Detached(name, (f"It runs as the service {name} of your systemd.", outlives_logout()[1]))
    if "already" in answer:
        raise already_running(name)
    _start_session(command, log, keeper_lock)
    return Detached(None, (f"It runs in a session of its own, for systemd does not take it here ({answer}).",))


def already_running(name: str) -> SceneError:
    return SceneError(
        f"The same work already goes on without a terminal ({name}).",
        "Look at it with 'vda status', or end it with 'vda stop'.",
    )


def unit_command(
    unit: str, log: Path, environment: Mapping[str, str], properties: Mapping[str, str], command: Sequence[str]
) -> list[str]:
    """``systemd-run`` for a service: not a scope, which would stay in the foreground."""
    return [
        *("systemd-run", "--user", "--quiet", "--collect", f"--unit={unit}", f"--working-directory={Path.cwd()}"),
        # The killer may end one process of a unit; that is no reason to end the others.
        "--property=OOMPolicy=continue",
        *(f"--property=Standard{stream}=append:{log.resolve()}" for stream in ("Output", "Error")),
        *(f"--property={key}={value}" for key, value in properties.items()),
        *(f"--setenv={key}={value}" for key, value in {**_inherited(), **environment}.items()),
        "--",
        *command,
    ]


def run_quietly(command: Sequence[str]) -> str | None:
    """Run a command of systemd's; return None if it succeeded, else the last line of what it said."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {getattr(error, 'strerror', None) or 'no answer'}"
    said = (result.stderr or result.stdout).strip().splitlines()
    return None if result.returncode == 0 else (said[-1] if said else f"exit code {result.returncode}")


def _start_service(command: Sequence[str], name: str, log: Path) -> str | None:
    properties = {
        "Restart": "on-failure",
        "RestartSec": "5",
        "RestartPreventExitStatus": " ".join(str(code) for code in FINAL_CODES if code),
        "StartLimitIntervalSec": "0",
    }
    return run_quietly(unit_command(name, log, {UNITS_VARIABLE: "1"}, properties, command))


def _start_session(command: Sequence[str], log: Path, keeper_lock: Path) -> None:
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "vda.launch.keeper", str(keeper_lock), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _inherited() -> dict[str, str]:
    return {
        key: value for key, value in os.environ.items() if key in _INHERITED or key.startswith(_INHERITED_PREFIXES)
    }


def outlives_logout() -> tuple[bool, str, str | None]:
    """Whether units of this user outlive the last logout, a sentence that says so, and what mends it.

    They do where lingering is on.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    try:
        asked = subprocess.run(
            ["loginctl", "show-user", user, "--property=Linger", "--value"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        sentence = "Whether it outlives your last logout could not be found out (loginctl does not answer)."
        return False, sentence, None
    if asked.stdout.strip() == "yes":
        return True, "It outlives your logout: lingering is on.", None
    remedy = f"turn lingering on with 'loginctl enable-linger {user}'"
    return False, f"It would end at your last logout: {remedy}.", f"Run: loginctl enable-linger {user}"
