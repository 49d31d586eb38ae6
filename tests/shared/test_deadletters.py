"""What failed, from the bug to the retry: one session waits, in order, all others go on."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from nats.aio.client import Client

from shared import ids
from shared.events import Event, Recorded
from shared.log import Log
from shared.operations import Operations
from shared.postgres import Connection, connect, open_pool
from shared.projection import Projection
from shared.requests import ListDeadLetters, RetryDeadLetter
from shared.schema import prepare
from tests.conftest import working
from tests.factories import ADA, a_message_synced, an_entry
from tests.shared.test_projection import COUNTING, count, rows, until_passed


MESSAGES = 600
SESSIONS = 10
BROKEN = ids.session_id(ADA, "s3")


class PlantedBug(Exception):
    """What the fold raises until it is mended."""


def breaking(switch: dict[str, bool]) -> Projection:
    """Plant a bug for one session's messages that speak of a third."""

    async def apply(db: Connection, batch: Sequence[Recorded[Event]]) -> None:
        for event in batch:
            if switch["broken"] and event.session == BROKEN and event.seq % 3 == 0:
                raise PlantedBug("a third")
        await count(db, batch)

    return replace(COUNTING, apply=apply)


@pytest.mark.parametrize("skip", [False, True])
async def test_planted_bug(
    log: Log, postgres_url: str, client: Client, *, skip: bool
) -> None:
    """
    A fold bug for one session under load holds only that session; mended and
    retried, its events are applied in order, without the one that is skipped.
    """
    switch = {"broken": True}
    projection = breaking(switch)
    written: dict[int, int] = {}

    async def load() -> None:
        for n in range(0, MESSAGES, 20):
            entries = [
                an_entry(
                    a_message_synced(
                        f"m{i}", session=f"s{i % SESSIONS}", text_content=f"{i},"
                    )
                )
                for i in range(n, n + 20)
            ]
            for i, appended in enumerate(await log.append_batch(entries), start=n):
                written[appended.seq] = i

    async with (
        await connect(postgres_url, schema="tally") as db,
        open_pool(postgres_url, schema="tally") as pool,
    ):
        await prepare(db, projection, stream=await log.identity())
        operations = Operations(projection, service="test", pool=pool, log=log)
        async with working(projection, postgres_url=postgres_url, client=client):
            await load()
            await until_passed(db, log)
            (first, *behind) = (
                await operations.list_letters(ListDeadLetters())
            ).letters
            still = await operations.retry(RetryDeadLetter(seq=first.seq))
            switch["broken"] = False
            loading = asyncio.create_task(load())
            done = await operations.retry(RetryDeadLetter(seq=first.seq, skip=skip))
            await loading
            await until_passed(db, log)
            left = (await operations.list_letters(ListDeadLetters())).letters
        told = dict(await rows(db, "SELECT session_id, text FROM tally"))

    assert "PlantedBug: a third" == first.error == still.error
    assert (str(BROKEN), "MessageSynced") == (first.session, first.type)
    assert {str(BROKEN)} == {letter.session for letter in behind}
    assert (0, 1 + len(behind)) == (still.applied, still.remaining)
    assert len(behind) + (not skip) <= done.applied
    assert [] == left
    assert told == {
        ids.session_id(ADA, f"s{s}"): "".join(
            f"{i},"
            for seq, i in sorted(written.items())
            if i % SESSIONS == s and not (skip and seq == first.seq)
        )
        for s in range(SESSIONS)
    }
