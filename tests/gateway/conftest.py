"""A gateway over real HTTP and a real log; ingest's answers are ten-line fakes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import msgspec
import pytest
from faststream.nats import NatsBroker

from deploy.local.ports import free_port
from services.gateway.app import build_gateway
from services.gateway.gateway import Gateway
from services.gateway.projection import KEYS
from services.gateway.server import serve
from shared import ids
from shared.broker import Answerer, service_broker
from shared.connection import connect_nats, drain
from shared.postgres import open_pool
from shared.requests import IssueApiKey, RegisterUser
from shared.settings import Settings


ADA = ids.user_id("ada")
BOB = ids.user_id("bob")

Http = httpx.AsyncClient
Answering = Callable[..., Awaitable[None]]
Issuing = Callable[..., Awaitable[str]]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def task(work: Awaitable[None]) -> AsyncIterator[None]:
    running = asyncio.ensure_future(work)
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def gateway_process(settings: Settings) -> AsyncIterator[Gateway]:
    """Everything a gateway process is, but for the process and the projection."""
    client = await connect_nats(settings.nats_url, name="gateway")
    pool = open_pool(settings.postgres_url, schema=KEYS.schema, size=2)
    gateway = build_gateway(settings, client=client, pool=pool)
    await pool.open(wait=False)
    async with task(gateway.keyring.follow(client)), task(gateway.live.listen(client)):
        await gateway.keyring.caught_up()
        async with task(serve(gateway, settings)):
            await _listening(settings.port)
            yield gateway
    await gateway.usage.settled()
    await pool.close()
    await drain(client)


async def _listening(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def settings(nats_url: str) -> Settings:
    """No database: nothing on the sync path may need one."""
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    return Settings(nats_url=nats_url, postgres_url=nowhere, port=free_port())


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with gateway_process(settings) as gateway:
        yield gateway


@pytest.fixture
async def key(gateway: Gateway) -> str:
    """Ada's key, with every scope."""
    return await a_key(gateway)


async def a_key(gateway: Gateway, *, user: str = "ada", **changes: object) -> str:
    await gateway.accounts.register_user(RegisterUser(name=user))
    command = IssueApiKey(user=ids.user_id(user), name="laptop")
    changed = msgspec.structs.replace(command, **changes)
    return (await gateway.accounts.issue_key(changed)).key


@pytest.fixture
async def http(settings: Settings, key: str) -> AsyncIterator[Http]:
    async with speaking(settings, key) as http:
        yield http


def speaking(settings: Settings, key: str) -> Http:
    return Http(
        base_url=f"http://127.0.0.1:{settings.port}",
        headers={"Authorization": f"Bearer {key}"},
        timeout=15,
    )


@pytest.fixture
async def answering(settings: Settings) -> AsyncIterator[Answering]:
    """Stand in for ingest: `await answering({ListSessions: page, ...})`."""
    brokers: list[NatsBroker] = []

    async def start(answers: dict[type, object]) -> None:
        def handler(answer: object) -> Callable[[object], Awaitable[object]]:
            async def reply(question: object) -> object:
                result = answer(question) if callable(answer) else answer
                if isinstance(result, Exception):
                    raise result
                return result

            return reply

        answerers = [
            Answerer(kind, handler(answer)) for kind, answer in answers.items()
        ]
        broker = service_broker(
            settings.nats_url, service="ingest", answerers=answerers
        )
        await broker.start()
        brokers.append(broker)

    yield start
    for broker in brokers:
        await broker.stop()
