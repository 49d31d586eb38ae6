"""The engine, on a real log and a real database: exactly once, in order, whatever dies."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from nats.aio.client import Client
from psycopg import sql

from deploy.projections import PROJECTIONS
from shared import ids, lease, subjects
from shared.deadletters import key_of
from shared.events import Event, MessageSynced, Recorded, record
from shared.lease import LeaseLost
from shared.log import Log, seal
from shared.postgres import Connection, connect
from shared.projection import Projection
from shared.schema import LogChanged, prepare, refuse_shorter_log
from tests.conftest import working
from tests.factories import ADA, a_message_synced, an_entry, the_log


ENGINE = {"checkpoint", "worker", "dead_letter", "blocked_session"}

TALLY = """
CREATE TABLE IF NOT EXISTS tally (
  session_id uuid PRIMARY KEY, events int NOT NULL, text text NOT NULL, seq bigint NOT NULL
)
"""

CUT_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


class FoldBug(Exception):
    """What a bug in a fold raises."""


async def count(db: Connection, batch: Sequence[Recorded[Event]]) -> None:
    """A fold that is not idempotent: applying anything twice shows."""
    for event in batch:
        assert isinstance(event.event, MessageSynced)
        if event.event.text_content == "poison":
            raise FoldBug("cannot fold this")
        await db.execute(
            "INSERT INTO tally VALUES (%s, 1, %s, %s) ON CONFLICT (session_id) DO UPDATE"
            " SET events = tally.events + 1, text = tally.text || excluded.text, "
            " seq = excluded.seq",
            (event.session, event.event.text_content, event.seq),
        )


COUNTING = Projection(
    name="test-tally",
    schema="tally",
    tables=TALLY,
    handles=(MessageSynced,),
    apply=count,
)


async def rows(db: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return await (await db.execute(query.encode(), values)).fetchall()


async def until_passed(db: Connection, log: Log) -> None:
    """Wait until no lane is behind its own newest event."""
    newest = await log.newest_of_lanes()
    async with asyncio.timeout(20):
        while any(
            seq < newest.get(lane, 0)
            for lane, seq in await rows(db, "SELECT partition, seq FROM checkpoint")
        ):
            await asyncio.sleep(0.01)


@pytest.fixture
async def db(postgres_url: str, log: Log) -> Any:
    connection = await connect(postgres_url, schema="tally")
    async with connection:
        await prepare(connection, COUNTING, stream=await log.identity())
        yield connection


class TestDelivery:
    async def test_every_event_once(
        self, db: Connection, log: Log, postgres_url: str, client: Client
    ) -> None:
        """
        Events written before and after the worker starts are applied once, in order.
        """
        await log.append_batch(
            [
                an_entry(a_message_synced(f"m{n}", text_content=f"{n},"))
                for n in range(50)
            ]
        )
        async with working(COUNTING, postgres_url=postgres_url, client=client):
            for n in range(50, 60):
                await log.append(
                    an_entry(a_message_synced(f"m{n}", text_content=f"{n},"))
                )
            await until_passed(db, log)

        assert [(60, "".join(f"{n}," for n in range(60)))] == await rows(
            db, "SELECT events, text FROM tally"
        )

    async def test_restart_continues(
        self, db: Connection, log: Log, postgres_url: str, client: Client
    ) -> None:
        """
        A worker that stops and one that starts apply each event once between them.
        """
        for start in range(0, 90, 30):
            await log.append_batch(
                [an_entry(a_message_synced(f"m{n}")) for n in range(start, start + 30)]
            )
            async with working(COUNTING, postgres_url=postgres_url, client=client):
                await until_passed(db, log)

        assert [(90,)] == await rows(db, "SELECT events FROM tally")

    async def test_many_workers(
        self, db: Connection, log: Log, postgres_url: str, client: Client
    ) -> None:
        """
        Workers that come and go under load lose nothing and repeat nothing.
        """
        entries = [
            an_entry(
                a_message_synced(f"m{n}", session=f"s{n % 40}", text_content=f"{n},")
            )
            for n in range(2000)
        ]

        async def load() -> None:
            for start in range(0, len(entries), 50):
                await log.append_batch(entries[start : start + 50])
                await asyncio.sleep(0.02)

        loading = asyncio.create_task(load())
        async with working(COUNTING, postgres_url=postgres_url, client=client):
            async with (
                working(COUNTING, postgres_url=postgres_url, client=client),
                working(COUNTING, postgres_url=postgres_url, client=client),
            ):
                await loading
                await until_passed(db, log)
            await until_passed(db, log)

        told = dict(await rows(db, "SELECT session_id, text FROM tally"))
        assert told == {
            ids.session_id(ADA, f"s{s}"): "".join(
                f"{n}," for n in range(2000) if n % 40 == s
            )
            for s in range(40)
        }


class TestFence:
    async def test_a_zombie_cannot_write(
        self, db: Connection, postgres_url: str
    ) -> None:
        """
        A worker whose lanes were taken while it was paused cannot move them on.
        """
        held = await lease.renew(db, me="zombie")
        await db.execute("UPDATE checkpoint SET lease_until = '-infinity'")
        await db.execute("UPDATE worker SET seen_at = '-infinity'")
        async with await connect(postgres_url, schema="tally") as other:
            taken = await lease.renew(other, me="heir")

        assert set(range(subjects.PARTITIONS)) == set(held) == set(taken)
        with pytest.raises(LeaseLost):
            await lease.advance(db, held, seq=5)

    async def test_a_worker_outlives_its_connection(
        self, db: Connection, postgres_url: str
    ) -> None:
        """
        A worker that reconnects is known by its new connection, and takes its lanes back.
        """
        async with await connect(postgres_url, schema="tally") as first:
            held = await lease.renew(first, me="worker")
        again = await lease.renew(db, me="worker")

        assert set(range(subjects.PARTITIONS)) == set(held) == set(again)


class TestAnotherLog:
    async def test_a_shorter_log_is_refused(self, db: Connection) -> None:
        """
        A log that ends before what was applied from it has lost its end.
        """
        await db.execute("UPDATE checkpoint SET seq = 7")

        with pytest.raises(LogChanged, match="ends at 6"):
            await refuse_shorter_log(db, COUNTING, head=6)


class TestPoison:
    async def test_only_its_session_waits(
        self, db: Connection, log: Log, postgres_url: str, client: Client
    ) -> None:
        """
        An event that cannot be folded parks itself and what follows in its session;
        every other session goes on.
        """
        texts = [
            ("a", "1"),
            ("b", "1"),
            ("a", "poison"),
            ("b", "2"),
            ("a", "3"),
            ("c", "1"),
        ]
        await log.append_batch(
            [
                an_entry(a_message_synced(f"m{n}", session=session, text_content=text))
                for n, (session, text) in enumerate(texts)
            ]
        )
        async with working(COUNTING, postgres_url=postgres_url, client=client):
            await until_passed(db, log)
            await log.append(
                an_entry(a_message_synced("m9", session="a", text_content="4"))
            )
            await until_passed(db, log)

        told = dict(await rows(db, "SELECT session_id, text FROM tally"))
        letters = await rows(
            db, "SELECT seq, error IS NOT NULL FROM dead_letter ORDER BY seq"
        )

        assert {
            ids.session_id(ADA, s): t for s, t in [("a", "1"), ("b", "12"), ("c", "1")]
        } == told
        assert [(3, True), (5, False), (7, False)] == letters

    async def test_newer_version_is_parked(
        self,
        db: Connection,
        log: Log,
        postgres_url: str,
        client: Client,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        An event of a version this code does not know waits for code that does.
        """
        with monkeypatch.context() as future:
            future.setattr(MessageSynced, "version", 2)
            await log.append(an_entry(a_message_synced()))
        async with working(COUNTING, postgres_url=postgres_url, client=client):
            await until_passed(db, log)

        ((error,),) = await rows(db, "SELECT error FROM dead_letter")

        assert "version 2" in error


class TestOutage:
    async def test_database_restart_burns_nothing(
        self, db: Connection, log: Log, postgres_url: str, client: Client
    ) -> None:
        """
        While its connections are cut, a worker waits, and parks nothing.
        """
        async with working(COUNTING, postgres_url=postgres_url, client=client):
            for n in range(100):
                await log.append(an_entry(a_message_synced(f"m{n}", text_content="x")))
                if n % 25 == 10:
                    await db.execute(CUT_OTHERS)
            await until_passed(db, log)

        assert [(100,)] == await rows(db, "SELECT events FROM tally")
        assert [(0,)] == await rows(db, "SELECT count(*) FROM dead_letter")


async def contents(db: Connection, projection: Projection) -> dict[str, list[str]]:
    """All rows of a projection's own tables, in one order."""
    tables = await rows(
        db, "SELECT tablename FROM pg_tables WHERE schemaname = %s", projection.schema
    )
    found = {}
    for (table,) in tables:
        if table not in ENGINE:
            query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(
                sql.Identifier(table)
            )
            found[table] = [
                row[0] for row in await (await db.execute(query)).fetchall()
            ]
    return found


async def fresh(projection: Projection, postgres_url: str) -> Connection:
    db = await connect(postgres_url, schema=projection.schema)
    await db.execute(f"DROP SCHEMA IF EXISTS {projection.schema} CASCADE".encode())
    await prepare(db, projection, stream="a-log")
    return db


def as_recorded(projection: Projection) -> list[Recorded[Event]]:
    events = []
    for seq, entry in enumerate(the_log(), start=1):
        lane = subjects.partition(entry.user, entry.session)
        event = record(seal(entry).payload, seq=seq, partition=lane)
        if event and isinstance(event.event, projection.handles):
            events.append(event)
    return events


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
async def test_one_truth_however_delivered(
    projection: Projection, postgres_url: str
) -> None:
    """
    One batch, one event at a time, every event twice, and sessions shuffled against
    each other leave the same rows.
    """
    story = as_recorded(projection)
    shuffled = list(story)
    random.Random(7).shuffle(shuffled)
    queues: dict[Any, list[Recorded[Event]]] = {}
    for event in story:
        queues.setdefault(key_of(event), []).append(event)
    interleaved = [queues[key_of(event)].pop(0) for event in shuffled]
    deliveries = {
        "once": [story],
        "singly": [[event] for event in story],
        "doubled": [[event, event] for event in story],
        "interleaved": [interleaved[i : i + 3] for i in range(0, len(interleaved), 3)],
    }
    told = {}
    for name, batches in deliveries.items():
        async with await fresh(projection, postgres_url) as db:
            for batch in batches:
                async with db.transaction():
                    await projection.apply(db, batch)
            told[name] = await contents(db, projection)

    assert any(told["once"].values())
    assert all(told["once"] == other for other in told.values())
