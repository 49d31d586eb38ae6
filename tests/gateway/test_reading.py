"""Reading over HTTP: what is asked of ingest, and how its answers reach the caller."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from services.gateway.gateway import Gateway
from shared import subjects
from shared.errors import Invalid, NotFound
from shared.requests import (
    AskReady,
    Decided,
    GetPublicSession,
    GetSession,
    GetStats,
    ListSessions,
    Ready,
    RenameSession,
    SessionDetail,
    SessionPage,
    ShareSession,
)
from tests.gateway.conftest import ADA, Answering, Http
from tests.gateway.test_formats import a_message, a_session


DETAILS = [
    SessionDetail(
        session=a_session(),
        messages=[a_message(), a_message("assistant", "Hi")],
        next_cursor="2",
    ),
    SessionDetail(session=a_session(), messages=[a_message("user", "Bye")]),
]


def paged(question: GetSession) -> Any:
    if question.id != "s1" or question.user != ADA:
        return NotFound("Session not found")
    return DETAILS[1] if question.cursor else DETAILS[0]


async def test_list_asks_what_was_asked(http: Http, answering: Answering) -> None:
    """
    Every filter and order reaches ingest, and its answer reaches the caller unchanged.
    """
    asked: list[ListSessions] = []
    await answering(
        {
            ListSessions: lambda question: (
                asked.append(question)
                or SessionPage(sessions=[a_session()], next_cursor="c")
            )
        }
    )
    seq = (await http.post("/sync/session", json={"externalId": "s"})).json()["seq"]
    query = (
        "limit=7&cursor=x&source=pi&model=m&provider=p&project=d&since=5"
        f"&date_to=2026-02-02&public=true&sort=cost&order=asc&after={seq}"
    )
    answer = await http.get(f"/api/sessions?{query}")

    assert answer.json()["nextCursor"] == "c"
    assert answer.json()["sessions"][0]["totalTokens"] == 3
    [question] = asked
    assert (question.user, question.limit, question.cursor, question.is_public) == (
        ADA,
        7,
        "x",
        True,
    )
    assert (question.since, question.until, question.sort, question.order) == (
        5,
        1_770_076_800_000,
        "cost",
        "asc",
    )
    assert list(question.after.values()) == [seq]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (
            "/api/sessions?limit=abc",
            400,
            "limit must be a whole number from 1 to 200, not 'abc'.",
        ),
        ("/api/sessions?limit=0", 400, "limit"),
        ("/api/sessions?sort=size", 400, "sort must be one of updated, created"),
        ("/api/sessions?public=perhaps", 400, "public"),
        ("/api/sessions?since=once", 400, "since"),
        ("/api/sessions?after=x", 400, "after"),
        ("/api/sessions?source=%00", 400, "source"),
        ("/api/sessions?cursor=broken", 400, "cursor"),
        ("/api/sessions/get", 400, "'id'"),
        ("/api/sessions/get?id=nope", 404, "Session not found"),
        ("/api/sessions/nope", 404, "Session not found"),
        ("/api/sessions/%00", 404, "Session not found"),
        ("/api/export", 400, "Missing session ID"),
        ("/api/export?id=nope", 404, "Session not found"),
        ("/api/export?id=s1&format=pdf", 400, "format must be one of json, jsonl"),
        ("/api/export/sessions?format=xml", 400, "format"),
        ("/nowhere", 404, "nothing at GET /nowhere"),
        ("/api/live?ticket=stolen", 401, "ticket"),
    ],
)
async def test_refusals(
    http: Http, answering: Answering, path: str, status: int, says: str
) -> None:
    """
    What cannot be answered is 400 or 404 with a sentence, never our fault.
    """

    def listed(question: ListSessions) -> Any:
        if question.cursor:
            return Invalid("The cursor is broken.")
        return SessionPage(sessions=[])

    await answering({GetSession: paged, ListSessions: listed})
    answer = await http.get(path)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert says in answer.json()["error"]


async def test_wrong_method(http: Http) -> None:
    """
    A method a path does not know is 405.
    """
    answer = await http.put("/health")

    assert (answer.status_code, list(answer.json())) == (405, ["error"])


async def test_one_page(http: Http, answering: Answering) -> None:
    """
    A session opens a page of messages at a time.
    """
    await answering({GetSession: paged})
    body = (await http.get("/api/sessions/get?id=s1")).json()

    assert (len(body["messages"]), body["nextCursor"]) == (2, "2")


@pytest.mark.parametrize(
    "path", ["/api/sessions/s1?messages=all", "/api/sessions/get?id=s1&messages=all"]
)
async def test_all_messages(http: Http, answering: Answering, path: str) -> None:
    """
    `messages=all` streams every page as one answer.
    """
    await answering({GetSession: paged})
    body = (await http.get(path)).json()

    assert [m["textContent"] for m in body["messages"]] == ["Hello", "Hi", "Bye"]
    assert (body["session"]["externalId"], "nextCursor" in body) == ("s1", False)


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("json", "application/json"),
        ("jsonl", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("markdown", "text/markdown; charset=utf-8"),
    ],
)
async def test_export(
    http: Http, answering: Answering, form: str, media_type: str
) -> None:
    """
    An export has every page, its media type, and CORS.
    """
    await answering({GetSession: paged})
    answer = await http.get(f"/api/export?id=s1&format={form}")

    assert answer.headers["content-type"] == media_type
    assert answer.headers["access-control-allow-origin"] == "*"
    assert all(word in answer.text for word in ("Hello", "Hi", "Bye"))


async def test_export_of_all(http: Http, answering: Answering) -> None:
    """
    An export of everything has a line for each session, or a row.
    """

    def listed(question: ListSessions) -> SessionPage:
        if question.cursor:
            return SessionPage(sessions=[a_session(id="gone"), a_session(id="s1")])
        return SessionPage(sessions=[a_session(id="s1", title="=1")], next_cursor="2")

    await answering({ListSessions: listed, GetSession: paged})
    lines = (await http.get("/api/export/sessions?format=jsonl")).text.splitlines()
    rows = (await http.get("/api/export/sessions?format=csv")).text.splitlines()

    assert [len(json.loads(line)["messages"]) for line in lines] == [3, 3]
    assert (len(rows), "'=1" in rows[1]) == (4, True)


async def test_export_that_fails(http: Http, answering: Answering) -> None:
    """
    An export that fails on the way breaks off: what ends properly is complete.
    """

    def failing(question: GetSession) -> Any:
        return Invalid("The cursor is broken.") if question.cursor else DETAILS[0]

    await answering({GetSession: failing})
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/api/export?id=s1&format=ndjson")
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/api/sessions/s1?messages=all")


async def test_decisions(http: Http, answering: Answering) -> None:
    """
    Renaming and sharing answer with their place in the log.
    """
    asked: list[Any] = []

    def decided(command: Any) -> Decided:
        asked.append(command)
        return Decided(id=str(ADA), seq=7, slug="s")

    await answering({RenameSession: decided, ShareSession: decided})
    renamed = await http.patch("/api/sessions/s1", json={"title": "New"})
    await http.post("/api/sessions/s1/share")

    assert renamed.json() == {"ok": True, "id": str(ADA), "seq": 7, "slug": "s"}
    assert [type(command) for command in asked] == [RenameSession, ShareSession]
    assert {(command.user, command.id) for command in asked} == {(ADA, "s1")}
    assert (await http.patch("/api/sessions/s1", json={})).status_code == 400
    assert (await http.patch("/api/sessions/s1", json={"title": 5})).status_code == 422


async def test_public(http: Http, answering: Answering) -> None:
    """
    A shared session needs no key, and asks not to be indexed.
    """
    await answering(
        {GetPublicSession: NotFound("There is no public session under this address.")}
    )
    async with httpx.AsyncClient(base_url=http.base_url) as stranger:
        answer = await stranger.get("/api/public/slug")

    assert answer.status_code == 404


async def test_service_away(http: Http) -> None:
    """
    While ingest is away, reading says so and when to come back.
    """
    answer = await http.get("/api/stats")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "ingest" in answer.json()["error"]


async def test_stats(http: Http, answering: Answering) -> None:
    """
    An answer's bytes are ingest's own.
    """
    await answering({GetStats: b'{"sessionCount":1}'})

    assert (await http.get("/api/stats")).content == b'{"sessionCount":1}'


async def test_health(http: Http, answering: Answering) -> None:
    """
    Health asks the log and every projection, and names those that are away.
    """
    ready = Ready(
        service="ingest", seq=1, lag=0, workers=1, dead_letters=0, blocked_sessions=0
    )
    await answering({AskReady: ready})
    async with httpx.AsyncClient(base_url=http.base_url) as stranger:
        answer = await stranger.get("/health")
    body = answer.json()

    assert (answer.status_code, body["status"], body["log"]["seq"] > 0) == (
        200,
        "ok",
        True,
    )
    assert (body["projections"]["ingest"]["lag"], body["projections"]["gateway"]) == (
        0,
        "away",
    )
    assert body["lagging"] == ["gateway"]
    assert {"timestamp", "version"} <= body.keys()


async def test_head(http: Http) -> None:
    """
    A monitor may ask with HEAD.
    """
    answer = await http.head("/openapi.json")

    assert (answer.status_code, answer.content) == (200, b"")


async def events(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Read server-sent events, comments and greetings left out."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            event[name] = value
        elif "data" in event:
            yield event
            event = {}
        else:
            event = {}


async def announce(client: Client, seq: int) -> None:
    news = {"projection": "ingest", "seq": seq, "sessions": ["x"], "more": False}
    await client.publish(subjects.live(ADA), json.dumps(news).encode())
    await client.flush()


async def test_live(http: Http, client: Client) -> None:
    """
    A stream tells what changed, and after a break what was missed.
    """
    async with asyncio.timeout(5):
        async with http.stream("GET", "/api/live") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            await announce(client, 5)
            heard = [await anext(lines) for _ in range(5)][2:]
        assert heard[1:] == [
            "event: changed",
            'data: {"projection": "ingest", "seq": 5, "sessions": ["x"], "more": false}',
        ]
        await announce(client, 6)
        await announce(client, 7)
        last = {"Last-Event-ID": heard[0].removeprefix("id: ")}
        async with http.stream("GET", "/api/live", headers=last) as response:
            stream = events(response)
            missed = [
                json.loads((await anext(stream))["data"])["seq"] for _ in range(2)
            ]
        assert missed == [6, 7]


async def test_ticket(http: Http) -> None:
    """
    A browser's event source comes in with a ticket, once; a key in a URL is no key.
    """
    ticket = (await http.post("/api/live/ticket")).json()["ticket"]
    async with httpx.AsyncClient(base_url=http.base_url) as browser:
        async with browser.stream("GET", f"/api/live?ticket={ticket}") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
        again = await browser.get(f"/api/live?ticket={ticket}")
        with_key = await browser.get(
            f"/api/live?key={http.headers['authorization'][7:]}"
        )

    assert (again.status_code, with_key.status_code) == (401, 401)


async def test_documentation(http: Http, gateway: Gateway) -> None:
    """
    Every route is documented for its caller, on a page that loads nothing from elsewhere.
    """
    document = (await http.get("/openapi.json")).json()
    page = await http.get("/docs")
    operations = [
        operation for path in document["paths"].values() for operation in path.values()
    ]

    assert len(operations) >= 19
    assert all(
        operation["description"] and operation["responses"] for operation in operations
    )
    assert document["info"]["version"] == gateway.version
    assert "//" not in page.text.replace("<!doctype", "")
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert (await http.get(f"/docs/{name}")).status_code == 200
    assert (await http.get("/docs/secrets")).status_code == 404
    assert (await http.get("/")).headers["location"] == "/docs"
