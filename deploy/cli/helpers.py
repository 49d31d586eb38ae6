"""More processes for one replay: they share the lanes of the copy and end by themselves."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import msgspec

from deploy.cli.running import Running, child_environ, perform
from deploy.local.leash import leash
from deploy.projections import projection_called
from shared.connection import connect_nats, drain
from shared.lease import Until
from shared.projection import Projection
from shared.replay import Helping
from shared.worker import Worker


PATIENCE_S = 10.0


def helpers(system: Running, number: int) -> Helping:
    """Make what starts so many processes beside our own."""

    def helping(copy: Projection, until: Until) -> AbstractAsyncContextManager[None]:
        return _helped(system, number, copy, until)

    return helping


@asynccontextmanager
async def _helped(
    system: Running, number: int, copy: Projection, until: Until
) -> AsyncIterator[None]:
    """Leave none behind: a late one would build the copy again after the swap."""
    given = msgspec.json.encode({"schema": copy.schema, "until": until})
    started = [await _start(system, copy.name, given) for _ in range(number)]
    try:
        yield
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(process.wait() for process in started))
    except TimeoutError:
        pass  # it holds nothing that matters: all lanes are where they must be
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _start(
    system: Running, projection: str, given: bytes
) -> asyncio.subprocess.Process:
    """Hand over where everything is through the environment: arguments are public."""
    process = await asyncio.create_subprocess_exec(
        *leash(signal.SIGKILL),
        sys.executable,
        "-c",
        "from deploy.cli import main; main()",
        "replay-lanes",
        projection,
        env={
            **child_environ(),
            "OPENSYNC_NATS_URL": system.nats_url,
            "OPENSYNC_POSTGRES_URL": system.postgres_url,
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal reaches only us
    )
    if process.stdin:
        process.stdin.write(given)
        process.stdin.close()
    return process


class _Given(msgspec.Struct):
    schema: str
    until: dict[int, int]


def replay_lanes(projection: str) -> None:
    """Work on a copy that a replay is building, until it has got where it must."""
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=_Given)
    copy = replace(projection_called(projection), schema=given.schema, indexes="")

    async def work(system: Running) -> None:
        client = await connect_nats(system.nats_url, name="opensync-replay")
        try:
            await Worker(
                copy,
                postgres_url=system.postgres_url,
                client=client,
                until=given.until,
            ).run()
        finally:
            await drain(client)

    perform(work)
