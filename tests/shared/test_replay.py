"""Rebuilding a projection while it serves."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from services.ingest import queries
from services.ingest.projection import PROJECTION
from shared import ids
from shared.contents import contents, differences
from shared.errors import Conflict, NotFound
from shared.log import Log
from shared.postgres import Connection, Pool, connect, open_pool
from shared.replay import Differs, Replay, copies, sequence_at
from shared.requests import GetSession, ListSessions
from tests.conftest import working
from tests.factories import ADA, NOON, a_message_synced, an_entry, the_log


def unwatched(_at: int, _of: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Connection]:
    async with await connect(postgres_url, schema="ingest") as connection:
        yield connection


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    async with open_pool(postgres_url, schema="ingest") as pool:
        yield pool


@pytest.fixture
def replay(postgres_url: str, client: Client) -> Replay:
    return Replay(projection=PROJECTION, postgres_url=postgres_url, client=client)


async def test_under_load(
    replay: Replay,
    db: Connection,
    pool: Pool,
    log: Log,
    postgres_url: str,
    client: Client,
) -> None:
    """
    A replay while events keep coming swaps in the same content, and no query fails.
    """
    await log.append_batch(the_log())
    stop = asyncio.Event()

    async def load() -> None:
        n = 0
        while not stop.is_set():
            await log.append_batch(
                [
                    an_entry(a_message_synced(f"n{n}-{i}", session=f"q{i}"))
                    for i in range(20)
                ]
            )
            n += 1

    async def read() -> None:
        while not stop.is_set():
            page = await queries.list_sessions(pool, ListSessions(user=ADA, limit=1))
            assert 1 == len(page.sessions)

    async with working(PROJECTION, postgres_url=postgres_url, client=client):
        await queries.list_sessions(
            pool, ListSessions(user=ADA, after=await log.newest_of_lanes())
        )
        busy = [asyncio.create_task(load()), asyncio.create_task(read())]
        await replay.run(unwatched, verify=True)
        stop.set()
        await asyncio.gather(*busy)
        await queries.list_sessions(
            pool, ListSessions(user=ADA, after=await log.newest_of_lanes())
        )
        live = await contents(db, "ingest")
        await replay.run(unwatched, verify=True)

        assert live == await contents(db, "ingest")
        assert ["ingest"] == await copies(db, PROJECTION)


async def test_verify_names_the_difference(
    replay: Replay,
    db: Connection,
    pool: Pool,
    log: Log,
    postgres_url: str,
    client: Client,
) -> None:
    """
    A row that does not follow from the log is named by table, key and column, and
    the old copy stays.
    """
    await log.append_batch(the_log())
    async with working(PROJECTION, postgres_url=postgres_url, client=client):
        await queries.list_sessions(
            pool, ListSessions(user=ADA, after=await log.newest_of_lanes())
        )
        await db.execute(
            "UPDATE message SET role = 'tampered' WHERE external_id = 'm2'"
        )
        with pytest.raises(Differs) as raised:
            await replay.run(unwatched, verify=True)

    (found,) = raised.value.found
    message = ids.message_id(ids.session_id(ADA, "s1"), "m2")

    assert ("message", ["role"]) == (found.table, found.columns)
    assert str(message) in found.key
    assert ["ingest"] == await copies(db, PROJECTION)


async def test_as_of(
    replay: Replay,
    db: Connection,
    pool: Pool,
    log: Log,
    postgres_url: str,
    client: Client,
) -> None:
    """
    A copy as of a sequence holds what was known then, beside the live one.
    """
    first = await log.append(an_entry(a_message_synced("m1")))
    await log.append(an_entry(a_message_synced("m2")))
    async with working(PROJECTION, postgres_url=postgres_url, client=client):
        await queries.get_session(
            pool, GetSession(user=ADA, id="s1", after=await log.newest_of_lanes())
        )
        schema = await replay.run_as_of(first.seq, unwatched)

    assert 1 == (await contents(db, schema))["message"].rows
    assert {"message", "message_body", "session"} == {
        found.table for found in await differences(db, "ingest", schema)
    }


async def test_a_second_replay_is_refused(replay: Replay, db: Connection) -> None:
    """
    While a replay runs, another of the same projection is refused.
    """
    await db.execute(
        "SELECT pg_advisory_lock(hashtext('replay ' || %s))", (replay.schema,)
    )

    with pytest.raises(Conflict, match="already running"):
        await replay.run(unwatched)


async def test_unfinished_is_resumed(replay: Replay, db: Connection, log: Log) -> None:
    """
    What a crash left behind is not touched without a word, and can be finished.
    """
    await log.append_batch(the_log())
    await db.execute(f"CREATE SCHEMA {replay.schema}".encode())
    with pytest.raises(Conflict, match="unfinished"):
        await replay.run(unwatched)
    await replay.run(unwatched, resume=True)

    assert ["ingest"] == await copies(db, PROJECTION)


async def test_sequence_at_a_time(log: Log) -> None:
    """
    A time means the last event written until then.
    """
    for n in range(5):
        await log.append(an_entry(a_message_synced(f"m{n}"), time=NOON + 1000 * n))

    assert [1, 3, 5] == [await sequence_at(log, NOON + at) for at in (0, 2500, 99_000)]
    with pytest.raises(NotFound, match="that early"):
        await sequence_at(log, NOON - 1)
