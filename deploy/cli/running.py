"""The running system, as a command reaches it; a clear sentence if there is none."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

import structlog
from nats import connect
from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.local import Run, read_run
from shared import ids
from shared.broker import Bus
from shared.errors import ServiceError
from shared.log import Log
from shared.settings import BadSetting, Settings, read_settings


OWNER = "owner"
NOT_RUNNING = 2
REFUSED = 1


@dataclass(frozen=True, slots=True)
class Running:
    """A connection to the system."""

    client: Client
    bus: Bus
    log: Log
    run: Run | None
    """Only where this machine started it."""


def perform(work: Callable[[Running], Awaitable[None]]) -> None:
    """Connect, do it, and turn what goes wrong into a sentence and a status."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        asyncio.run(_performed(work))
    except ServiceError as error:
        fail(str(error), REFUSED)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)


def settings() -> Settings:
    try:
        return read_settings(os.environ)
    except BadSetting as error:
        fail(str(error), NOT_RUNNING)


def fail(sentence: str, status: int) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    sys.exit(status)


async def _performed(work: Callable[[Running], Awaitable[None]]) -> None:
    url, run = _whereabouts()
    async with connected(url) as client:
        await work(Running(client, Bus(client), Log(client), run))


def _whereabouts() -> tuple[str, Run | None]:
    given = settings()
    run = read_run(given.data_dir)
    if os.environ.get("OPENSYNC_NATS_URL"):
        return given.nats_url, run
    if run is None:
        fail(
            f"OpenSync is not running on {given.data_dir.resolve()}; start it with"
            " `opensync up`, or set OPENSYNC_NATS_URL to reach one elsewhere.",
            NOT_RUNNING,
        )
    return run.nats_url, run


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """Connect once; a command does not wait for a system that is not there."""
    try:
        client = await connect(
            url,
            name="opensync-cli",
            allow_reconnect=False,
            connect_timeout=3,
            error_cb=_quiet,
        )
    except (NatsError, OSError, TimeoutError):
        fail("OpenSync's log cannot be reached; is the system running?", NOT_RUNNING)
    try:
        yield client
    finally:
        await client.close()


async def _quiet(_: Exception) -> None:
    """Say nothing: the command itself says what went wrong."""


def user_called(name: str) -> UUID:
    """Identify a user by name, or by id."""
    try:
        return UUID(name)
    except ValueError:
        return ids.user_id(name)
