"""The live stream: what was synced is told to its owner, soon and to nobody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import NewPerson, Person


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

DEADLINE_S = 10
SOON_S = 0.3


class Heard:
    """The announcements of one stream, as they come in."""

    def __init__(self) -> None:
        self.news: list[tuple[float, dict[str, Any]]] = []
        self._more = asyncio.Condition()

    async def listen(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            if line.startswith("data: "):
                async with self._more:
                    self.news.append((perf_counter(), json.loads(line[6:])))
                    self._more.notify_all()

    async def of(self, session: str, *, seq: int) -> float:
        """Wait for the news of a session at or after a place in the log; tell when."""

        def found() -> float | None:
            for at, news in self.news:
                if session in news.get("sessions", ()) and news["seq"] >= seq:
                    return at
            return None

        async with asyncio.timeout(DEADLINE_S), self._more:
            await self._more.wait_for(found)
        at = found()
        assert at
        return at


@asynccontextmanager
async def listening(
    api: httpx.AsyncClient, path: str = "/api/live"
) -> AsyncIterator[Heard]:
    heard = Heard()
    async with api.stream("GET", path) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        task = asyncio.create_task(heard.listen(lines))
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def said(api: httpx.AsyncClient, number: int) -> dict[str, Any]:
    message = {
        "sessionExternalId": "live",
        "externalId": f"m{number}",
        "textContent": "hello",
    }
    return (await api.post("/sync/message", json=message)).json()


async def session_id(api: httpx.AsyncClient, seq: int) -> str:
    found = await api.get("/api/sessions/live", params={"after": seq})
    return found.json()["session"]["id"]


async def test_soon(api: httpx.AsyncClient):
    """A browser hears of a message within 300 ms, and can then read it."""
    session = await session_id(api, (await said(api, 0))["seq"])
    waits = []
    async with listening(api) as heard:
        for number in range(1, 8):
            began = perf_counter()
            seq = (await said(api, number))["seq"]
            waits.append(await heard.of(session, seq=seq) - began)
            found = (await api.get("/api/sessions/live")).json()
            assert number + 1 == found["session"]["messageCount"]

    assert median(waits) < SOON_S


async def test_nobody_else(new_person: NewPerson):
    """Nobody hears of somebody else's sessions."""
    ada, bob = await new_person(), await new_person()
    async with listening(ada.api) as hers, listening(bob.api) as his:
        for number, person in enumerate((ada, bob)):
            seq = (await said(person.api, number))["seq"]
            mine = await session_id(person.api, seq)
            await (hers, his)[number].of(mine, seq=seq)
        ids = [await session_id(person.api, 0) for person in (ada, bob)]

    assert {ids[0]} == {s for _, news in hers.news for s in news["sessions"]}
    assert {ids[1]} == {s for _, news in his.news for s in news["sessions"]}


async def test_ticket(person: Person, stranger: httpx.AsyncClient):
    """A ticket opens the stream for a browser, which cannot send headers, once."""
    issued = (await person.api.post("/api/live/ticket")).json()
    path = f"/api/live?ticket={issued['ticket']}"
    async with listening(stranger, path) as heard:
        seq = (await said(person.api, 0))["seq"]
        await heard.of(await session_id(person.api, seq), seq=seq)

    assert (await stranger.get(path)).status_code == 401
