"""Every process is killed under load, in turn: nothing acknowledged is lost or doubled.

`OPENSYNC_KILL_ROUNDS` says how many rounds; two by default.
"""

import asyncio
import os
from collections import Counter
from hashlib import sha256
from typing import Any

import httpx
import pytest

from bench.connection import Door
from deploy.local import System
from shared import subjects
from shared.connection import connect_nats, drain
from shared.events import MessageSynced, record
from shared.log import Log
from tests.e2e.conftest import Person
from tests.e2e.load import Load, Memory, Name


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

ROUNDS = int(os.environ.get("OPENSYNC_KILL_ROUNDS", "2"))
VICTIMS = ("nats", "postgres", "ingest", "gateway")
BETWEEN = 150
"""Messages acknowledged before the next kill."""
RECOVERED_WITHIN_S = 45
READABLE_WITHIN_S = 60


async def test_kills(system: System, person: Person):
    """What was acknowledged before, between and after kills is stored exactly once."""
    async with Load(Door.at(system.run.url, person.key)) as memory:
        await killed_in_turn(system, memory)
    await readable(system, person)

    assert memory.refusals == []
    assert memory.failures, "the kills disturbed nobody"
    stored = await stored_messages(person.api)
    assert Counter(stored).most_common(1)[0][1] == 1
    assert memory.acknowledged - set(stored) == set()
    assert set(stored) - set(memory.sent) == set()
    assert await contents(person.api) == {n: memory.sent[n] for n in stored}
    await counts_agree(person.api, stored)
    await log_agrees(system, person, memory)


async def killed_in_turn(system: System, memory: Memory) -> None:
    for _ in range(ROUNDS):
        for victim in VICTIMS:
            await memory.grows_by(BETWEEN, within=RECOVERED_WITHIN_S)
            old = system.kill(victim)
            async with asyncio.timeout(RECOVERED_WITHIN_S):
                await system.restarted(victim, old)
    await memory.grows_by(BETWEEN, within=RECOVERED_WITHIN_S)


async def readable(system: System, person: Person) -> None:
    """Wait until the truth has caught up with the log."""
    async with asyncio.timeout(READABLE_WITHIN_S):
        while True:
            health = (await person.api.get("/health")).json()
            ingest = health.get("projections", {}).get("ingest", "away")
            if ingest != "away" and ingest["lag"] == 0:
                break
            await asyncio.sleep(0.05)
    assert (ingest["deadLetters"], ingest["blockedSessions"]) == (0, 0)
    assert set(VICTIMS) == set(system.run.pids)


async def conversations(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    names = (await api.get("/sync/sessions/list")).json()["sessionIds"]
    assert len(set(names)) == len(names)
    asked = {"messages": "all"}
    return [(await api.get(f"/api/sessions/{n}", params=asked)).json() for n in names]


async def stored_messages(api: httpx.AsyncClient) -> list[Name]:
    return [
        (found["session"]["externalId"], message["externalId"])
        for found in await conversations(api)
        for message in found["messages"]
    ]


async def contents(api: httpx.AsyncClient) -> dict[Name, str]:
    return {
        (found["session"]["externalId"], message["externalId"]): message["textContent"]
        for found in await conversations(api)
        for message in found["messages"]
    }


async def counts_agree(api: httpx.AsyncClient, stored: list[Name]) -> None:
    """Hold each session's count, and the totals, against the messages there are."""
    expected = Counter(session for session, _ in stored)
    counted = {
        found["session"]["externalId"]: found["session"]["messageCount"]
        for found in await conversations(api)
    }
    assert expected == counted
    stats = (await api.get("/api/stats")).json()
    assert len(stored) == stats["messageCount"]
    assert len(expected) == stats["sessionCount"]


async def log_agrees(system: System, person: Person, memory: Memory) -> None:
    """Find every acknowledged message in the log, unchanged, where it was said to be."""
    client = await connect_nats(system.run.nats_url, name="e2e-log")
    hashes: dict[int, str] = {}
    names: set[Name] = set()
    async for stored in Log(client).read(subjects.stored(user=person.id)):
        hashes[stored.seq] = sha256(stored.payload).hexdigest()
        assert stored.hash == hashes[stored.seq]
        fact = record(stored.payload, seq=stored.seq, partition=0)
        if fact and isinstance(fact.event, MessageSynced):
            names.add((fact.event.session_external_id, fact.event.external_id))
    await drain(client)

    assert memory.receipts
    for seq, told in memory.receipts.values():
        assert told == hashes.get(seq), seq
    assert memory.acknowledged <= names
