"""Erasure reaches every store there is, and nothing brings the data back."""

from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from deploy.local import System
from shared.connection import connect_nats, drain
from shared.log import Log
from tests.e2e.conftest import NewPerson, Person


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

CANARY = "canary-7f3a9c51e2"
MESSAGE = {
    "sessionExternalId": f"s-{CANARY}",
    "externalId": f"m-{CANARY}",
    "role": "user",
    "textContent": f"the {CANARY} sings",
    "parts": [
        {"type": "tool-call", "content": {"toolName": CANARY, "args": {CANARY: 1}}}
    ],
    CANARY: CANARY,
}


async def traces(system: System) -> list[str]:
    """Name every table of every schema, and every place in the log, with the canary."""
    found = []
    async with await psycopg.AsyncConnection.connect(system.run.postgres_url) as db:
        tables = await db.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for schema, table in await tables.fetchall():
            statement = sql.SQL(
                "SELECT count(*) FROM {} t WHERE t::text LIKE %s"
            ).format(sql.Identifier(schema, table))
            row = await (await db.execute(statement, (f"%{CANARY}%",))).fetchone()
            if row and row[0]:
                found.append(f"{schema}.{table}")
    client = await connect_nats(system.run.nats_url, name="erasure-test")
    log = [one async for one in Log(client).read()]
    found += [f"log {one.seq}" for one in log if CANARY.encode() in one.payload]
    await drain(client)
    return found


async def sync(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.post("/sync/message", json=MESSAGE)
    assert 200 == answer.status_code
    session = {
        "externalId": f"s-{CANARY}",
        "title": CANARY,
        "projectPath": f"/{CANARY}",
    }
    assert 200 == (await api.post("/sync/session", json=session)).status_code
    told: dict[str, Any] = answer.json()
    return told


async def test_session(system: System, person: Person) -> None:
    """
    A deleted session leaves no trace in any table nor in the log, the receipt says from
    where it went, and a late retry is answered and not kept.
    """
    await sync(person.api)
    assert 1 == len((await person.api.get("/api/sessions")).json()["sessions"])
    assert await traces(system)
    receipt = (await person.api.delete(f"/api/sessions/s-{CANARY}")).json()

    assert [] == await traces(system)
    removed = {store["store"]: store["removed"] for store in receipt["stores"]}
    assert (2, 1, 1) == (
        removed["log"],
        removed["ingest.session"],
        removed["ingest.part"],
    )
    late = (await person.api.post("/sync/message", json=MESSAGE)).json()
    batch = await person.api.post("/sync/batch", json={"messages": [MESSAGE]})

    assert (True, True) == (late["ok"], "ignored" in late)
    assert 0 == batch.json()["messages"]
    assert [] == await traces(system)
    assert 200 == (await person.api.delete(f"/api/sessions/s-{CANARY}")).status_code
    assert 404 == (await person.api.get(f"/api/sessions/s-{CANARY}")).status_code


async def test_user(system: System, new_person: NewPerson) -> None:
    """
    An erased user leaves no trace, their key is refused, and others keep theirs.
    """
    gone, stays = await new_person(), await new_person()
    await sync(gone.api)
    await stays.api.post("/sync/message", json={**MESSAGE, "textContent": "x"})
    for person in (gone, stays):  # a read waits for its user's own writes
        assert 1 == len((await person.api.get("/api/sessions")).json()["sessions"])
    before = await traces(system)
    receipt = (await gone.api.delete("/api/me")).json()
    after = await traces(system)

    assert receipt["ok"]
    assert all(store["remains"] == 0 for store in receipt["stores"][1:])
    assert len([t for t in before if "log" in t]) > len(
        [t for t in after if "log" in t]
    )
    assert 401 == (await gone.api.get("/api/me")).status_code
    assert 1 == len((await stays.api.get("/api/sessions")).json()["sessions"])
    await stays.api.delete("/api/me")

    assert [] == await traces(system)
