"""A real SLURM that keeps account of its jobs: slurmdbd with a database, and a controller that soon forgets.

Needs the programs of Debian's slurmdbd and mariadb-server-core besides. What a person's association allows is
enforced, and allows everything unless a test limits it.
"""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from cluster.nodes import PROGRAMS, START_SECONDS, Slurm, found, free_ports, user

PROGRAMS_OF_ACCOUNTING = (*PROGRAMS, "munged", "slurmdbd", "mariadbd", "sacct", "sacctmgr")

# slurmdbd keeps a procedure in the database that finds the limits of an association; these make room for it.
SYSTEM_TABLES = sorted(Path("/usr/share/mysql").glob("m*_system_tables.sql"))

CONFIGURATION = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
StorageLoc=accounting
"""


class AccountedSlurm(Slurm):
    """Its controller forgets jobs two seconds after their end, as often as it looks for such: once a minute."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._port, self._database = free_ports(2)
        self.accounting = (
            "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
            f"AccountingStoragePort={self._port}\nAccountingStoragePass={self.folder}/munge/socket\nMinJobAge=2\n"
            "AccountingStorageEnforce=limits"
        )

    def limit_jobs(self, most: int) -> None:
        """Let this user have at most so many tasks at once, queued ones too (-1: any number)."""
        self.ask("sacctmgr", "--immediate", "modify", "user", user(), "set", f"MaxSubmitJobs={most}")
        # Without one it shows nothing there.
        limit, asked = f" MaxSubmitJobs={most}(", ("scontrol", "show", "assoc_mgr", "flags=assoc")
        self.wait_for(lambda: most < 0 or limit in self.ask(*asked), f"limit of {most} jobs")

    def start_accounting(self) -> None:
        self._start_database()
        place = self.folder / "etc" / "slurmdbd.conf"
        # slurmdbd refuses a file that others can read, for there could be a password in it.
        place.touch(0o600)
        place.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=socket.gethostname().split(".")[0],
                port=self._port,
                user=user(),
                database=self._database,
            )
        )
        self.daemon("slurmdbd", "slurmdbd", "-D")
        self.wait_for(lambda: listens(self._port), "accounting that answers")
        for what in (("cluster", "vdatest"), ("account", "tests"), ("user", user(), "account=tests")):
            self.ask("sacctmgr", "--immediate", "add", *what)

    def _start_database(self) -> None:
        """A database whose table of users is not looked at: whoever is on this machine may write."""
        folder = self.folder / "database"
        (folder / "files").mkdir(parents=True)
        files = [
            "--no-defaults", f"--datadir={folder}/files", f"--tmpdir={folder}", "--innodb-log-file-size=8M",
            # It runs as root where it is told so alone.
            *(["--user=root"] if os.getuid() == 0 else []),
        ]  # fmt: skip
        tables = "".join(path.read_text() for path in SYSTEM_TABLES[:1])
        subprocess.run(
            [str(found("mariadbd")), *files, "--bootstrap"],
            input=f"create database mysql;\nuse mysql;\n{tables}",
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        options = [
            f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--bind-address=127.0.0.1",
            f"--port={self._database}", "--skip-grant-tables", "--skip-networking=0",
        ]  # fmt: skip
        self.daemon("mariadbd", "mariadbd", *files, *options)
        self.wait_for(lambda: listens(self._database), "database")


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
