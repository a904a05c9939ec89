"""A real SLURM that keeps account of its jobs: slurmdbd with a database, and a controller that soon forgets.

Needs the programs of Debian's slurmdbd and mariadb-server-core besides.
"""

import os
import socket
from typing import Any

from cluster.nodes import PROGRAMS, Slurm, free_ports, user

PROGRAMS_OF_ACCOUNTING = (*PROGRAMS, "munged", "slurmdbd", "mariadbd", "sacct", "sacctmgr")

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
            f"AccountingStoragePort={self._port}\nAccountingStoragePass={self.folder}/munge/socket\nMinJobAge=2"
        )

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
        self.ask("sacctmgr", "--immediate", "add", "cluster", "vdatest")

    def _start_database(self) -> None:
        """A database without a table of users: whoever is on this machine may write."""
        folder = self.folder / "database"
        (folder / "files").mkdir(parents=True)
        options = [
            "--no-defaults", f"--datadir={folder}/files", f"--socket={folder}/socket", f"--tmpdir={folder}",
            f"--pid-file={folder}/pid", "--bind-address=127.0.0.1", f"--port={self._database}",
            "--skip-grant-tables", "--skip-networking=0", "--innodb-log-file-size=8M",
        ]  # fmt: skip
        # It runs as root where it is told so alone.
        self.daemon("mariadbd", "mariadbd", *options, *(["--user=root"] if os.getuid() == 0 else []))
        self.wait_for(lambda: listens(self._database), "database")


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
