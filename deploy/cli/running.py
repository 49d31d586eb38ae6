"""The running system, as a command reaches it; a clear sentence if there is none."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

import structlog
import uvloop
from nats import connect
from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.local import Run, read_run
from shared import ids
from shared.broker import Bus
from shared.errors import Invalid, ServiceError, Unavailable
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
    nats_url: str
    given_postgres_url: str = ""

    @property
    def postgres_url(self) -> str:
        """Where the tables are; Invalid if neither the run file nor a setting says."""
        if self.given_postgres_url:
            return self.given_postgres_url
        if self.run is None:
            raise Invalid("Say where the database is: set OPENSYNC_POSTGRES_URL.")
        return self.run.postgres_url


def perform(
    work: Callable[[Running], Awaitable[None]], *, refusal: int = REFUSED
) -> None:
    """Connect, do it, and turn what goes wrong into a sentence and a status."""
    quiet()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_performed(work))
    except ServiceError as error:
        fail(str(error), REFUSED if isinstance(error, Unavailable) else refusal)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)


def quiet() -> None:
    """Let only errors be logged, beside what a command says itself."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )


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
        await work(
            Running(
                client,
                Bus(client),
                Log(client),
                run,
                nats_url=url,
                given_postgres_url=os.environ.get("OPENSYNC_POSTGRES_URL", ""),
            )
        )


def _whereabouts() -> tuple[str, Run | None]:
    given = settings()
    run = read_run(given.data_dir)
    if nats_url_given():
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


def nats_url_given() -> bool:
    """Say whether the log is somebody else's, and not the data folder's own."""
    return bool(os.environ.get("OPENSYNC_NATS_URL"))


def child_environ() -> dict[str, str]:
    """Hand our environment on to a process of our own."""
    return dict(os.environ)


def user_called(name: str) -> UUID:
    """Identify a user by name, or by id."""
    try:
        return UUID(name)
    except ValueError:
        return ids.user_id(name)
