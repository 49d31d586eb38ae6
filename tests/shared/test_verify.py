"""Nothing lost, and shown: what verification finds, and what it understands."""

import asyncio
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.nats import EmbeddedNats
from deploy.nats.stream import ensure_stream
from deploy.projections import KNOWN
from shared import ids, subjects
from shared.connection import connect_nats, drain
from shared.events import SessionDeleted
from shared.log import Log
from shared.postgres import connect
from shared.schema import prepare
from shared.verify import Check, verify
from tests.conftest import serving, working
from tests.factories import ADA, a_message_synced, an_entry, the_log


CENSUSES = [(known.projection, known.censuses) for known in KNOWN.values()]


def unwatched(_at: int, _of: int) -> None:
    """Nobody looks at the progress."""


async def checked(client: Client, postgres_url: str) -> dict[str, Check]:
    checks = await verify(
        client, postgres_url=postgres_url, censuses=CENSUSES, watch=unwatched
    )
    return {check.what: check for check in checks}


async def projected(client: Client, postgres_url: str) -> dict[str, Check]:
    """Verify while all projections are at work."""
    sessions, keys = (projection for projection, _ in CENSUSES)
    async with (
        working(sessions, postgres_url=postgres_url, client=client),
        working(keys, postgres_url=postgres_url, client=client),
    ):
        return await checked(client, postgres_url)


def problems(checks: dict[str, Check]) -> dict[str, list[str]]:
    return {what: check.problems for what, check in checks.items() if not check.is_good}


async def test_all_is_well(client: Client, log: Log, postgres_url: str) -> None:
    """
    What was accepted is stored, and what is stored is projected.
    """
    await log.append_batch(the_log())
    checks = await projected(client, postgres_url)

    assert {} == problems(checks)
    assert len(the_log()) == checks["log: events stored"].found
    assert 2 <= checks["ingest-sessions: session"].found
    assert 1 <= checks["gateway-keys: api_key"].found


async def test_rows_that_do_not_follow(
    client: Client, log: Log, postgres_url: str
) -> None:
    """
    A row that is missing and a row too many are both named.
    """
    await log.append_batch(the_log())
    await projected(client, postgres_url)
    async with await connect(postgres_url, schema="ingest") as db:
        await db.execute("DELETE FROM message WHERE external_id = 'm2'")
        await db.execute("UPDATE session SET id = user_id WHERE external_id = 's2'")
    found = problems(await projected(client, postgres_url))

    assert found["ingest-sessions: message"] == [
        "what sequence 6 tells of is not there"
    ]
    assert 2 == len(found["ingest-sessions: session"])


async def test_purge_after_deletion(
    client: Client, log: Log, postgres_url: str
) -> None:
    """
    Events that were purged with their session are counted, and no gap.
    """
    await log.append_batch([an_entry(a_message_synced(f"m{n}")) for n in range(9)])
    await log.append(an_entry(a_message_synced(session="s2")))
    await log.append(an_entry(SessionDeleted(), session="s1"))
    session = ids.session_id(ADA, "s1")
    assert 9 == await log.purge(subjects.stored("MessageSynced", ADA, session))
    checks = await projected(client, postgres_url)

    assert {} == problems(checks)
    assert 9 == checks["log: purged"].found


async def test_removal_nobody_decided(
    client: Client, log: Log, postgres_url: str
) -> None:
    """
    An event removed by hand, with no deletion to explain it, is named.
    """
    await log.append_batch([an_entry(a_message_synced(f"m{n}")) for n in range(9)])
    await client.jetstream().delete_msg(subjects.STREAM, 5)
    found = problems(await projected(client, postgres_url))

    assert found["log: purged"] == [
        "sequence 5 is removed, and no deletion explains it"
    ]


async def test_tampered_event(client: Client, postgres_url: str) -> None:
    """
    An event whose bytes are not those that were accepted is named.
    """
    payload = b'{"id":"0"}'
    await client.jetstream().publish(
        subjects.event("MessageSynced", ADA, ADA),
        payload,
        headers={"Content-Hash": "0" * 64},
    )
    found = problems(await projected(client, postgres_url))

    assert found["log: hashes"] == ["sequence 1 does not match its hash"]
    assert found["log: readable"][0].startswith("sequence 1 cannot be read")


async def damaged(server: EmbeddedNats, *, with_index: bool) -> None:
    """Flip a bit in the middle of a stopped server's block, in message m600."""
    (block,) = await asyncio.to_thread(lambda: sorted(server.folder.rglob("*.blk")))
    raw = bytearray(block.read_bytes())
    raw[raw.index(b"flip me: m600") + 5] ^= 1
    block.write_bytes(raw)
    for index in () if with_index else server.folder.rglob("index.db"):
        index.unlink()


@pytest.mark.parametrize("with_index", [True, False])
async def test_flipped_bit_in_a_block(
    tmp_path: Path, postgres_url: str, *, with_index: bool
) -> None:
    """
    A bit that flips in the server's files is found, whether the server leaves out
    the event alone or everything behind it.
    """
    texts = [f"flip me: m{n}" for n in range(1000)]
    entries = [
        an_entry(a_message_synced(f"m{n}", text_content=text))
        for n, text in enumerate(texts)
    ]
    server = EmbeddedNats(tmp_path)
    async with serving(server, tmp_path / "nats.log"):
        await ensure_stream(server.url)
        client = await connect_nats(server.url, name="test")
        await Log(client).append_batch(entries)
        assert {} == problems(await projected(client, postgres_url))
        await drain(client)
    await damaged(server, with_index=with_index)
    server = EmbeddedNats(tmp_path)
    async with serving(server, tmp_path / "nats.log"):
        client = await connect_nats(server.url, name="test")
        found = problems(await checked(client, postgres_url))
        await drain(client)

    if with_index:
        assert found["log: events stored"] == [
            "sequence 601 is missing and nobody removed it"
        ]
    else:
        assert any("lost" in said for said in found["log: events stored"])
        assert any("has lost events" in s for s in found["ingest-sessions: position"])


async def test_without_tables(
    client: Client, log: Log, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A projection that was never built is a gap, and no crash.
    """
    monkeypatch.setattr("shared.verify.CATCH_UP_S", 0.2)
    await log.append_batch(the_log())
    async with await connect(postgres_url, schema="gateway") as db:
        await prepare(db, KNOWN["gateway-keys"].projection, stream="other")
    found = problems(await checked(client, postgres_url))

    assert ["has no tables"] == found["ingest-sessions: position"]
