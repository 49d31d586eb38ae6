"""Real embedded servers for every test: Postgres once per worker, a log per test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from nats.aio.client import Client

from deploy.local.nats import EmbeddedNats
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import Process
from deploy.nats.stream import ensure_stream
from shared.connection import connect_nats, drain
from shared.log import Log
from shared.postgres import connect
from shared.projection import Projection
from shared.schema import prepare
from shared.worker import Worker


DEADLINE_S = 20.0
_databases = count()


@asynccontextmanager
async def serving(
    server: EmbeddedNats | EmbeddedPostgres, log_file: Path
) -> AsyncIterator[Process]:
    """Run an embedded server, ready, until the block ends."""
    server.prepare()
    process = Process(server.program(), log_file=log_file, on_start=lambda: None)
    process.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await server.is_ready():
                await asyncio.sleep(0.02)
        yield process
    finally:
        await process.stop()


@pytest.fixture(scope="session")
async def postgres_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("pg")
    server = EmbeddedPostgres(folder)
    async with serving(server, folder / "postgres.log"):
        yield server
    server.forget()


@pytest.fixture
async def postgres_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database of this test's own."""
    name = f"test_{next(_databases)}"
    async with await psycopg.AsyncConnection.connect(
        postgres_server.url, autocommit=True
    ) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        yield postgres_server.url.replace("/opensync?", f"/{name}?")
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def nats_url(tmp_path: Path) -> AsyncIterator[str]:
    """A log of this test's own, empty."""
    server = EmbeddedNats(tmp_path)
    async with serving(server, tmp_path / "nats.log"):
        await ensure_stream(server.url)
        yield server.url


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    client = await connect_nats(nats_url, name="test")
    yield client
    await drain(client)


@pytest.fixture
def log(client: Client) -> Log:
    return Log(client)


@asynccontextmanager
async def working(
    projection: Projection, *, postgres_url: str, client: Client
) -> AsyncIterator[Worker]:
    """Keep a projection up to date until the block ends."""
    async with await connect(postgres_url, schema=projection.schema) as db:
        await prepare(db, projection, stream=await Log(client).identity())
    worker = Worker(projection, postgres_url=postgres_url, client=client)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
