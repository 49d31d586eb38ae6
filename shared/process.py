"""How a service lives as a process: connects, answers, projects, and stops in order."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
import uvloop
from nats.aio.client import Client

from shared.broker import Answerer, service_broker
from shared.connection import connect_nats, drain
from shared.log import Log
from shared.logging import configure_logging
from shared.operations import Operations
from shared.postgres import Pool, open_pool
from shared.projection import Projection
from shared.settings import Settings, read_settings
from shared.worker import Worker


log = structlog.get_logger()


STOP_S = 8.0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a service: its read model and who answers its requests."""

    name: str
    projection: Projection
    answerers: Callable[[Pool, Client], Sequence[Answerer]]


def run(main: Callable[[Settings], Awaitable[None]], *, service: str) -> None:
    """Run a service until SIGTERM or SIGINT, then let it finish what it holds."""
    settings = read_settings(os.environ)
    configure_logging(settings.log_level, service=service)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(main, settings))


async def _until_told(
    main: Callable[[Settings], Awaitable[None]], settings: Settings
) -> None:
    work = asyncio.ensure_future(main(settings))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        work.cancel()
        # with the log or the database away, good manners could take for ever
        loop.call_later(STOP_S, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        log.info("service.stopped")


async def run_service(service: Service, settings: Settings) -> None:
    """Answer requests and keep the projection up to date until cancelled.

    Two connections: a replay at full speed must not delay an answer.
    """
    client = await connect_nats(settings.nats_url, name=f"{service.name}-log")
    pool = open_pool(settings.postgres_url, schema=service.projection.schema)
    await pool.open(wait=False)
    operations = Operations(
        service.projection, service=service.name, pool=pool, log=Log(client)
    )
    broker = service_broker(
        settings.nats_url,
        service=service.name,
        answerers=[*service.answerers(pool, client), *operations.answerers()],
    )
    worker = Worker(
        service.projection, postgres_url=settings.postgres_url, client=client
    )
    try:
        await broker.start()
        log.info("service.started")
        await worker.run()
    finally:
        await broker.stop()
        await drain(client)
        await pool.close()
