"""Appending and reading, on a real JetStream."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest
from nats.aio.client import Client

from shared import subjects
from shared.errors import TooLarge, Unavailable, WrongExpectedSeq
from shared.events import SessionRenamed
from shared.log import MAX_EVENT, Log
from tests.factories import ADA, BOB, a_message_synced, a_session_synced, an_entry


async def test_append_is_read_back(log: Log) -> None:
    """
    What was acknowledged is stored under the sequence and hash of the answer.
    """
    entry = an_entry(a_message_synced())
    appended = await log.append(entry)
    stored = await log.at(appended.seq)

    assert stored is not None
    assert (appended.hash, appended.hash) == (
        stored.hash,
        sha256(stored.payload).hexdigest(),
    )
    assert subjects.partition(entry.user, entry.session) == subjects.partition_of(
        stored.subject
    )


@pytest.mark.parametrize("size", [1, 4, 5, 501, 1203])
async def test_batch_keeps_order(log: Log, size: int) -> None:
    """
    A batch is stored in order, and each event's answer names its own place.
    """
    entries = [
        an_entry(a_message_synced(f"m{n}", session=f"s{n % 7}")) for n in range(size)
    ]
    appended = await log.append_batch(entries)
    stored = [message async for message in log.read()]

    assert [one.seq for one in appended] == [message.seq for message in stored]
    assert [one.hash for one in appended] == [
        sha256(m.payload).hexdigest() for m in stored
    ]


async def test_expected_seq(log: Log) -> None:
    """
    Of two decisions that build on the same state, one is refused.
    """
    first = await log.append(an_entry(a_session_synced()))
    rename = an_entry(SessionRenamed(title="T"), session="s1")
    expected = (subjects.stored_of(rename.user, rename.session), first.seq)
    await log.append(rename, expected=expected)

    with pytest.raises(WrongExpectedSeq):
        await log.append(
            an_entry(SessionRenamed(title="U"), session="s1"), expected=expected
        )


async def test_oversized_event_leaves_the_connection_alive(
    log: Log, client: Client
) -> None:
    """
    An event over the limit is refused before it can end the connection.
    """
    with pytest.raises(TooLarge, match=f"limit of {MAX_EVENT:,}"):
        await log.append(an_entry(a_message_synced(text_content="x" * MAX_EVENT)))
    await log.append(an_entry(a_message_synced(text_content="x" * (MAX_EVENT - 2000))))

    assert client.is_connected


async def test_reading_one_session(log: Log) -> None:
    """
    A session's subject gives its events and no other's.
    """
    mine = an_entry(a_message_synced())
    await log.append_batch(
        [mine, an_entry(a_message_synced(), user=BOB), an_entry(a_session_synced("s2"))]
    )

    found = [m.seq async for m in log.read(subjects.stored_of(mine.user, mine.session))]

    assert [1] == found


async def test_heads_name_the_newest_of_each_lane(log: Log) -> None:
    """
    A user's heads are the newest sequences of the lanes that hold their events.
    """
    entries = [an_entry(a_session_synced(f"s{n}")) for n in range(40)]
    expected = {
        subjects.partition(entry.user, entry.session): appended.seq
        for entry, appended in zip(
            entries, await log.append_batch(entries), strict=True
        )
    }

    assert expected == await log.heads(ADA)
    assert {} == await log.heads(BOB)


@pytest.mark.parametrize("size", [1, 20])
async def test_broken_pipe_is_tried_again(
    client: Client, log: Log, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """
    A connection that breaks under a publish costs a moment, not the event.
    """
    request, broken = client.request, [ConnectionResetError("peer")]

    async def breaking(*given: Any, **named: Any) -> Any:
        if broken:
            raise broken.pop()
        return await request(*given, **named)

    monkeypatch.setattr(client, "request", breaking)
    await log.append_batch([an_entry(a_message_synced(f"m{n}")) for n in range(size)])

    assert size == await log.head()


async def test_dead_server_is_reported_in_time(client: Client, log: Log) -> None:
    """
    A log that cannot confirm is Unavailable within ten seconds, not a hang.
    """
    await client.close()

    with pytest.raises(Unavailable):
        async with asyncio.timeout(10):
            await log.append(an_entry(a_message_synced()))
