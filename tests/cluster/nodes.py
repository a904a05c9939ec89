"""A real SLURM on this machine: a controller and two nodes with two pretended GPUs each, in a folder of its own.

Needs the programs of Debian's slurmctld, slurmd and slurm-client, and munge where SLURM has no ``auth/none``, but
no root, no systemd, no control groups. Everything listens on 127.0.0.1. By hand, for trying things::

    cd tests && python -m cluster.nodes      # says what to set, and goes down at the end of its input (Ctrl-D)

Nothing is left at the end: everything is found by its environment (``processes.py``), also by a guard that waits
for the death of the process that started SLURM.
"""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from cluster.processes import configuration_in, end_all, is_step, kill, processes_of

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
# Debian keeps the daemons where only root looks.
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NODES = ("n1", "n2")
CPUS_A_NODE = 4
START_SECONDS = 120.0

# What tests wait for comes soon: a requeued job may start after six seconds (two minutes else; less is not
# honoured), a silent node is given up after six, and who is told to end has five to do so.
CONFIGURATION = """
ClusterName=vdatest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/{auth}
CredType=cred/{auth}
AuthInfo=cred_expire=5{socket}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
{accounting}
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MaxArraySize=1001
ReturnToService=2
KillWait=5
SlurmdTimeout=6
SlurmdParameters=config_overrides
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing(programs: Sequence[str] = PROGRAMS) -> list[str]:
    """The programs that this machine lacks."""
    return [name for name in programs if not found(name)] + ([] if auth() else ["munged"])


def found(name: str) -> str | None:
    return shutil.which(name, path=PLACES)


def auth() -> str:
    """How daemons trust each other: ``munge``, else ``none`` where this SLURM has it; empty where neither goes."""
    if found("munged"):
        return "munge"
    return "none" if any(Path("/usr/lib").glob("*/slurm*/auth_none.so")) else ""


class Slurm:
    """The daemons, and what tests ask of them. ``environment`` is what makes programs speak to this SLURM."""

    accounting = "AccountingStorageType=accounting_storage/none\nMinJobAge=3600"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(configuration_in(folder)), "PATH": PLACES}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything, and wait until both nodes are idle."""
        for name in ("etc", "run", "log", "munge", "state", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write_configuration()
        if auth() == "munge":
            self._start_munge()
        self.start_accounting()
        self.daemon("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)
        self.wait_for(self._idle, "idle nodes")

    def start_accounting(self) -> None:
        """Nothing, where jobs that ended are remembered by the controller alone."""

    def start_node(self, node: str) -> None:
        self.daemon(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """End a node as a power cut does, but for its jobs' processes, which become orphans."""
        log = self.folder / "log" / f"slurmd.{node}.log"
        for pid in (self._daemons[node].pid, *(step.pid for step in self.processes() if is_step(step, log))):
            kill(pid)
        self._daemons[node].wait()

    def clear(self) -> None:
        """Cancel all jobs, end what they left behind, and have both nodes up."""
        self.ask("scancel", f"--user={user()}")
        for process in self.processes():
            # The daemons' own processes are let be, such as one that is about to tell the controller of an end.
            if "SLURM_JOB_ID" in (process.info["environ"] or {}):
                kill(process.pid)
        for node in NODES:
            if self._daemons[node].poll() is not None:
                self.start_node(node)
        self.wait_for(lambda: all(self.resumed(node) for node in NODES), "nodes that are up")

    def resumed(self, node: str) -> bool:
        """Whether a node is up; where it is not, ask for it: it may come back by itself just then."""
        is_up = not any(word in self.node_state(node) for word in ("down", "drain"))
        if not is_up:
            with suppress(RuntimeError):
                self.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
        return is_up

    def daemon_of(self, node: str) -> int:
        """The pid of a node's slurmd."""
        return self._daemons[node].pid

    def node_state(self, node: str) -> str:
        return self.ask("sinfo", "--noheader", "--partition=main", f"--nodes={node}", "--format=%T")

    def ask(self, *command: object) -> str:
        """What a program of SLURM's says; raises with its words where it fails."""
        words = [found(str(command[0])) or str(command[0]), *map(str, command[1:])]
        result = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=START_SECONDS)
        if result.returncode:
            raise RuntimeError(f"{' '.join(words)}: {result.stderr or result.stdout}\n{self.logs()}")
        return result.stdout.strip()

    def logs(self, lines: int = 25) -> str:
        """The ends of the daemons' logs."""
        texts = {
            path.name: path.read_text(errors="replace").splitlines() for path in (self.folder / "log").iterdir()
        }
        return "\n".join("\n".join([f"--- {name}", *text[-lines:]]) for name, text in sorted(texts.items()))

    def wait_for(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not there():
            if (ended := self._ended()) or time.monotonic() > deadline:
                raise RuntimeError(
                    f"SLURM has no {what}; {ended or 'all daemons'} ended or were slow\n{self.logs()}"
                )
            signal.sigtimedwait([], 0.05)

    def processes(self) -> list[psutil.Process]:
        """Every process that was started for this SLURM, jobs included, by its environment."""
        return processes_of(self.folder)

    def stop(self) -> None:
        """End everything: jobs first, for a step outlives its node's daemon."""
        end_all(self.folder)
        for daemon in self._daemons.values():
            daemon.wait()

    def daemon(self, name: str, program: str, *options: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [str(found(program)), *options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _idle(self) -> bool:
        return all(self.node_state(node) == "idle" for node in NODES)

    def _ended(self) -> list[str]:
        return [name for name, daemon in self._daemons.items() if daemon.poll() is not None]

    def _start_munge(self) -> None:
        place = self.folder / "munge"
        # The key and the folder must be its user's alone to write; the socket is for everybody.
        (place / "key").touch(0o600)
        (place / "key").write_bytes(random.randbytes(1024))
        files = [f"--{kind}={place / name}" for kind, name in (
            ("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("seed-file", "seed"),
            ("log-file", "log"),
        )]  # fmt: skip
        self.daemon("munged", "munged", "--foreground", "--force", *files)
        self.wait_for((place / "socket").exists, "socket of munged")

    def _write_configuration(self) -> None:
        ports = free_ports(1 + len(NODES))
        text = CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            user=user(),
            folder=self.folder,
            ports=ports,
            auth=auth(),
            accounting=self.accounting.format(folder=self.folder),
            socket=f",socket={self.folder}/munge/socket" if auth() == "munge" else "",
        )
        host = socket.gethostname().split(".")[0]
        nodes = [
            f"NodeName={node} NodeHostName={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS_A_NODE} "
            "RealMemory=8000 Gres=gpu:2 State=UNKNOWN"
            for node, port in zip(NODES, ports[1:], strict=True)
        ]
        configuration_in(self.folder).write_text("\n".join([*nodes, text]))
        # A GPU must be a character device for SLURM to number it; these two are everywhere, and are not opened.
        devices = [f"NodeName={node} Name=gpu File=/dev/{name}\n" for node in NODES for name in ("null", "zero")]
        (self.folder / "etc" / "gres.conf").write_text("".join(devices))


def user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, below those that the kernel gives away for connections."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as tried:
            if port not in ports and tried.connect_ex(("127.0.0.1", port)):
                ports.append(port)
    return ports


AnySlurm = TypeVar("AnySlurm", bound=Slurm)


@contextmanager
def running(kind: type[AnySlurm], folder: Path) -> Iterator[AnySlurm]:
    """A SLURM that runs, below ``folder``; nothing of it is left at the end, whatever happens."""
    cluster = kind(folder)
    guard = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("processes.py")), str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        guard.communicate()


def main() -> None:
    if lacking := missing():
        sys.exit(f"There is no {', '.join(lacking)} here.")
    with tempfile.TemporaryDirectory() as folder, running(Slurm, Path(folder)) as cluster:
        sys.stdout.write(f"export SLURM_CONF={cluster.environment['SLURM_CONF']} PATH=$PATH:/usr/sbin\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
