"""A system of the bench's own, started as a user starts it."""

import asyncio
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from bench.connection import Connection, Door
from deploy.local import Run, read_run
from deploy.local.ports import free_port
from shared.settings import PREFIX


KEY = "osk_bench_0123456789abcdef0123456789abcdef"
"""Of a system on loopback that is gone when the bench is."""
START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured: a front door, and the processes behind it if they are ours."""

    url: str
    key: str
    run: Run | None = None
    started_s: float = 0.0

    @property
    def door(self) -> Door:
        return Door.at(self.url, self.key)


@asynccontextmanager
async def own_system(
    data_dir: Path, *, environ: Mapping[str, str]
) -> AsyncIterator[Target]:
    """Run `opensync up` on a folder until the block ends."""
    port = free_port()
    began = monotonic()
    process = await _up(data_dir, port, environ)
    try:
        run = await _ready(process, data_dir, f"http://127.0.0.1:{port}")
        yield Target(run.url, KEY, run, monotonic() - began)
    finally:
        await _stop(process)


async def _up(
    data_dir: Path, port: int, given: Mapping[str, str]
) -> asyncio.subprocess.Process:
    environ = {k: v for k, v in given.items() if not k.startswith(PREFIX)}
    environ |= {
        "OPENSYNC_DATA_DIR": str(data_dir),
        "OPENSYNC_PORT": str(port),
        "OPENSYNC_OWNER_KEY": KEY,
        "OPENSYNC_RATE_LIMIT": "1000000",
    }
    return await asyncio.create_subprocess_exec(
        str(Path(sysconfig.get_path("scripts")) / "opensync"),
        "up",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=sys.stderr,
        env=environ,
    )


async def _ready(process: asyncio.subprocess.Process, data_dir: Path, url: str) -> Run:
    """Wait until the owner's key opens the door: the first moment of use."""
    request = Door.at(url, KEY).get("/api/me")
    async with asyncio.timeout(START_WITHIN_S):
        while await _status(url, request) != 200:
            if process.returncode is not None:
                raise RuntimeError("the system did not start")
            await asyncio.sleep(LOOK_EVERY_S)
    run = read_run(data_dir)
    if run is None:
        raise RuntimeError("the system did not say where it is")
    return run


async def _status(url: str, request: bytes) -> int:
    try:
        connection = await Connection.to(Door.at(url, KEY))
        status, _ = await connection.ask(request)
    except OSError:
        return 0
    connection.close()
    return status


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
