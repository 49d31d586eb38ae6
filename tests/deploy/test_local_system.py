"""The system on one machine: started, refused, killed, recovered, stopped."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import nats
import psutil
import psycopg
import pytest

from deploy.local import Service, StartupFailed, System, read_run, running
from deploy.local.lock import AlreadyRunning
from deploy.local.ports import PortUnavailable, free_port
from deploy.local.runfile import last_run
from shared.settings import Settings


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local_system")]
Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
async def system(stand_ins: tuple[Service, ...]) -> AsyncIterator[System]:
    settings = Settings(ingest_workers=2)
    async with running(settings, services=stand_ins) as system:
        yield system


async def test_run_file(system: System):
    """The run file names every process and where the system is reached."""
    run = read_run(system.settings.data_dir)

    assert run == system.run
    assert set(run.pids) == {"nats", "postgres", "ingest", "ingest-2", "gateway"}
    assert all(psutil.pid_exists(pid) for pid in run.pids.values())
    assert run.supervisor == os.getpid()


async def test_private(system: System):
    """Nobody but the owner may read the run file, the logs and the data."""
    folder = system.settings.data_dir
    for secret in ("run.json", "nats", "nats/token", "postgres", "postgres/data"):
        assert (folder / secret).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["ingest", "ingest-2", "gateway"])
async def test_service_killed(system: System, name: str):
    """A killed service comes back, and the run file knows its new pid."""
    old = system.kill(name)
    async with asyncio.timeout(20):
        new = await system.restarted(name, old)

    run = read_run(system.settings.data_dir)
    assert run is not None
    assert run.pids[name] == new


async def test_nats_killed(system: System):
    """What the log acknowledged outlives a kill of its server."""
    client = await nats.connect(system.run.nats_url, reconnect_time_wait=0.05)
    js = client.jetstream()
    ack = await js.publish("ev.Told.u.s", b"kept")
    async with asyncio.timeout(20):
        await system.restarted("nats", system.kill("nats"))
    async with asyncio.timeout(20):
        kept = await _until_answered(lambda: js.get_msg("EVENTS", ack.seq))
    await client.close()

    assert kept.data == b"kept"


async def test_postgres_killed(system: System):
    """What Postgres committed outlives a kill, with a connection still open."""
    url = system.run.postgres_url
    db = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await db.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    async with asyncio.timeout(20):
        await system.restarted("postgres", system.kill("postgres"))
        rows = await _until_answered(lambda: _rows(url, "SELECT seven FROM kept"))
    await db.close()

    assert rows == [(7,)]


async def test_second_refused(system: System, stand_ins: tuple[Service, ...]):
    """A second system on the same data folder is refused with the first one's URL."""
    folder = system.settings.data_dir
    with pytest.raises(AlreadyRunning, match=system.run.url):
        async with running(services=stand_ins, data_dir=folder):
            pass
    assert read_run(folder) == system.run


async def test_port_in_use(stand_ins: tuple[Service, ...], tmp_path: Path):
    """A port that is taken is named before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"{port} is already.*OPENSYNC_PORT"):
            async with running(services=stand_ins, data_dir=tmp_path, port=port):
                pass

    assert _names(tmp_path) == ["lock"]


async def test_hopeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A service that cannot start is named with its last words."""
    monkeypatch.setattr("deploy.local.process.FIRST_DELAY_S", 0.001)
    broken = Service(
        name="gateway", command=("sh", "-c", "echo no luck; exit 3"), is_front=True
    )
    with pytest.raises(StartupFailed, match=r"(?s)gateway does not stay up.*no luck"):
        async with running(services=(broken,), data_dir=tmp_path):
            pass
    assert last_run(tmp_path) is None


async def test_long_path(tmp_path: Path):
    """A data folder too deep for a socket's name works all the same."""
    deep = tmp_path / ("x" * 110)
    async with running(services=(), data_dir=deep) as system:
        rows = await _rows(system.run.postgres_url, "SELECT 1")

    assert rows == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(start_up, tmp_path: Path, number: int):
    """A signal stops everything and the exit status is 0."""
    up = start_up(tmp_path, free_port())
    assert _says_it_runs(up)
    pids = last_run(tmp_path).pids
    up.send_signal(number)

    assert up.wait(timeout=20) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert last_run(tmp_path) is None


def test_refused_by_command(start_up, tmp_path: Path):
    """A second `up` says one sentence and exits with 2."""
    port = free_port()
    up = start_up(tmp_path, port)
    assert _says_it_runs(up)
    second = start_up(tmp_path, port)
    _, said = second.communicate(timeout=20)

    assert second.returncode == 2
    assert said.count("\n") == 1
    assert f"already running in {tmp_path} at http://127.0.0.1:{port}" in said


def test_supervisor_killed(start_up, eventually: Eventually, tmp_path: Path):
    """Nothing is left running when the supervisor is killed."""
    up = start_up(tmp_path, free_port())
    assert _says_it_runs(up)
    pids = last_run(tmp_path).pids
    up.kill()

    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids.values()))


def test_start_after_kill(start_up, tmp_path: Path):
    """The system starts again at once after everything was killed."""
    port = free_port()
    up = start_up(tmp_path, port)
    assert _says_it_runs(up)
    for pid in [up.pid, *last_run(tmp_path).pids.values()]:
        os.kill(pid, signal.SIGKILL)
    up.wait()

    assert _says_it_runs(start_up(tmp_path, port))


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def _says_it_runs(up) -> bool:
    """Read up to the banner's end, or until it gave up."""
    return any("opencode-sync-plugin" in line for line in up.stdout)


async def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as db:
        return await (await db.execute(query)).fetchall()


async def _until_answered(ask):
    while True:
        try:
            return await ask()
        except (nats.errors.Error, psycopg.OperationalError):
            await asyncio.sleep(0.02)
