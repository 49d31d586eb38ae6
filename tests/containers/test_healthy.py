"""The health check of services without a port, against a real log server."""

import asyncio
import os
import sys

from nats.aio.client import Client

from shared.broker import Answerer, service_broker
from shared.requests import AskReady, Ready


READY = Ready(
    service="ingest", seq=1, lag=0, workers=1, dead_letters=0, blocked_sessions=0
)


async def checked(service: str, nats_url: str) -> int | None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.containers.healthy", service),
        env={**os.environ, "OPENSYNC_NATS_URL": nats_url},
    )
    return await process.wait()


async def test_a_service_that_answers_is_healthy(nats_url: str) -> None:
    """
    The check ends well while the service answers.
    """

    async def ready(_: AskReady) -> Ready:
        return READY

    broker = service_broker(
        nats_url, service="ingest", answerers=[Answerer(AskReady, ready)]
    )
    await broker.start()
    status = await checked("ingest", nats_url)
    await broker.stop()

    assert 0 == status


async def test_a_silent_service_is_not(nats_url: str) -> None:
    """
    The check fails, in time, while nobody answers.
    """
    async with asyncio.timeout(8):
        assert 1 == await checked("ingest", nats_url)


async def test_an_unknown_service_is_not(client: Client, nats_url: str) -> None:
    """
    The check fails for a name that is none of ours.
    """
    assert client.is_connected
    assert 1 == await checked("nobody", nats_url)


async def test_without_a_log_nothing_is(nats_url: str) -> None:
    """
    The check fails, in time, while the log is away.
    """
    away = nats_url.rpartition(":")[0] + ":1"

    async with asyncio.timeout(8):
        assert 1 == await checked("ingest", away)
