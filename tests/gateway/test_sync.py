"""Sync calls over HTTP: an answer means on disk, and nothing odd is our fault."""

import asyncio
import gzip
import json
from hashlib import sha256
from typing import Any

import httpx
import pytest

from services.gateway.gateway import Gateway
from shared import ids, subjects
from shared.errors import Unavailable
from shared.events import MessageSynced, SessionSynced, decode_envelope, record
from shared.log import MAX_EVENT, Log
from shared.requests import ExternalIds, ListExternalIds
from tests.gateway.conftest import ADA, BOB, Answering, Http, a_key


async def stored(log: Log, type_: str = "*") -> list[Any]:
    found = [s async for s in log.read(subjects.stored(type_))]
    return [
        fact.event for s in found if (fact := record(s.payload, seq=s.seq, partition=0))
    ]


async def test_session(http: Http, log: Log) -> None:
    """
    An acknowledged session is on disk under the answer's sequence and hash.
    """
    answer = await http.post(
        "/sync/session",
        json={"sessionId": "s1", "title": "T", "cwd": "/x", "model": None},
    )
    body = answer.json()
    message = await log.at(body["seq"])

    assert (answer.status_code, body["ok"]) == (200, True)
    assert body["sessionId"] == str(ids.session_id(ADA, "s1"))
    assert message is not None
    assert body["hash"] == sha256(message.payload).hexdigest()
    [event] = await stored(log, "SessionSynced")
    assert isinstance(event, SessionSynced)
    assert (event.external_id, event.title) == ("s1", "T")


async def test_message(http: Http, log: Log) -> None:
    """
    A message is stored with its session, under ids that a retry gets again.
    """
    sent = {
        "sessionExternalId": "s1",
        "externalId": "m1",
        "role": "user",
        "textContent": "",
        "odd": {"a": 1},
    }
    first, again = [
        (await http.post("/sync/message", json=sent)).json() for _ in range(2)
    ]

    assert (
        first["messageId"]
        == again["messageId"]
        == str(ids.message_id(ids.session_id(ADA, "s1"), "m1"))
    )
    [event, _] = await stored(log, "MessageSynced")
    assert isinstance(event, MessageSynced)
    assert (event.text_content, event.extra) == ("", {"odd": {"a": 1}})


async def test_two_users_never_meet(http: Http, gateway: Gateway) -> None:
    """
    The same external ids of two users are two messages.
    """
    sent = {"sessionExternalId": "s1", "externalId": "m1"}
    bobs = {"Authorization": f"Bearer {await a_key(gateway, user='bob')}"}
    mine, theirs = (
        await http.post("/sync/message", json=sent),
        await http.post("/sync/message", json=sent, headers=bobs),
    )

    assert (
        mine.json()["messageId"]
        != theirs.json()["messageId"]
        == str(ids.message_id(ids.session_id(BOB, "s1"), "m1"))
    )


@pytest.mark.parametrize(
    ("path", "sent", "status", "says"),
    [
        ("/sync/session", b"{", 400, "not valid JSON"),
        ("/sync/session", b"[]", 400, "JSON object"),
        ("/sync/session", b"", 400, "not valid JSON"),
        ("/sync/session", b"\xff\xfe", 400, "not valid JSON"),
        ("/sync/session", gzip.compress(b"{}", mtime=0), 400, "not valid JSON"),
        ("/sync/session", b"[" * 100_000, 400, "JSON"),
        ("/sync/session", b"{}", 400, "externalId"),
        ("/sync/message", b'{"externalId": "m"}', 400, "sessionExternalId"),
        ("/sync/message", b'{"sessionExternalId": "s"}', 400, "externalId"),
        (
            "/sync/session",
            b'{"externalId": "s", "createdAt": "soon"}',
            422,
            "createdAt",
        ),
        ("/sync/batch", b'{"sessions": 5}', 422, "sessions must be a list"),
        (
            "/sync/batch",
            b'{"messages": [' + b"{}," * 10_000 + b"{}]}",
            413,
            "10,000 items",
        ),
    ],
)
async def test_bad_input(
    http: Http, path: str, sent: bytes, status: int, says: str
) -> None:
    """
    Bad input is answered with its status and one sentence that names the trouble.
    """
    answer = await http.post(path, content=sent)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert says in answer.json()["error"]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_too_large(http: Http, *, is_chunked: bool) -> None:
    """
    A body over the limit is refused with the limit, however it is sent.
    """

    async def chunks() -> Any:
        for _ in range(90):
            yield b"x" * 100_000

    answer = await http.post(
        "/sync/message", content=chunks() if is_chunked else b"x" * 9_000_000
    )

    assert answer.status_code == 413
    assert f"{MAX_EVENT:,} bytes" in answer.json()["error"]


async def test_batch(http: Http, log: Log) -> None:
    """
    A batch stores sessions before messages and reports each item that it refuses.
    """
    sent = {
        "messages": [
            {
                "sessionExternalId": "s1",
                "externalId": "m1",
                "createdAt": 1_770_000_000_000,
                "odd": 1,
            },
            {"externalId": "m2"},
            7,
        ],
        "sessions": [
            {"externalId": "s1", "createdAt": 1_770_000_000_000},
            {"externalId": "s2", "cost": "dear"},
        ],
    }
    body = (await http.post("/sync/batch", json=sent)).json()

    assert (body["ok"], body["sessions"], body["messages"]) == (True, 1, 1)
    assert [(i["kind"], i["index"], i["status"]) for i in body["items"]] == [
        ("session", 1, 422),
        ("message", 1, 400),
        ("message", 2, 422),
    ]
    assert body["errors"][0].startswith("s2: ")
    assert [
        type(e).__name__ for e in await stored(log) if hasattr(e, "external_id")
    ] == ["SessionSynced", "MessageSynced"]
    assert body["seq"] == await log.head()


async def test_large_item_in_a_batch(http: Http) -> None:
    """
    An item too large for the log is refused for itself; the others are stored.
    """
    sent = [
        {"sessionExternalId": "s", "externalId": f"m{n}", "textContent": "x" * size}
        for n, size in enumerate([9_000_000, 1, 1])
    ]
    body = (await http.post("/sync/batch", json={"messages": sent})).json()

    assert (body["messages"], [i["status"] for i in body["items"]]) == (2, [413])


async def test_full_batch(http: Http, log: Log) -> None:
    """
    Ten thousand items are taken at once, in order.
    """
    sent = [
        {"sessionExternalId": f"s{n % 100}", "externalId": f"m{n}"}
        for n in range(10_000)
    ]
    before = await log.head()
    body = (await http.post("/sync/batch", json={"messages": sent})).json()

    assert (body["messages"], body["errors"]) == (10_000, [])
    assert body["seq"] - before >= 10_000


async def test_empty_batch(http: Http) -> None:
    """
    A batch of nothing is fine.
    """
    answer = await http.post("/sync/batch", json={"sessions": [], "messages": None})

    assert (answer.status_code, answer.json()["errors"]) == (200, [])


async def test_list_sees_what_was_acknowledged(
    http: Http, answering: Answering
) -> None:
    """
    The list waits for everything acknowledged before, and has every page of it.
    """
    asked: list[ListExternalIds] = []

    def pages(question: ListExternalIds) -> ExternalIds:
        asked.append(question)
        return (
            ExternalIds(session_ids=["b"])
            if question.cursor
            else ExternalIds(session_ids=["a"], next_cursor="x")
        )

    await answering({ListExternalIds: pages})
    seq = (await http.post("/sync/session", json={"externalId": "a"})).json()["seq"]

    assert (await http.get("/sync/sessions/list")).json() == {"sessionIds": ["a", "b"]}
    assert asked[0].after[subjects.partition(ADA, ids.session_id(ADA, "a"))] == seq


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Missing Authorization header"),
        ({"Authorization": "Bearer nonsense"}, "Invalid API key format"),
        ({"Authorization": "Basic osk_aaa"}, "Invalid API key format"),
        ({"Authorization": "Bearer osk_" + "a" * 43}, "Invalid API key"),
    ],
)
async def test_strangers(http: Http, given: dict[str, str], says: str) -> None:
    """
    Without a good key nothing is stored, and the answer says why.
    """
    async with httpx.AsyncClient(base_url=http.base_url, headers=given) as stranger:
        answer = await stranger.post("/sync/session", json={"externalId": "s"})

    assert (answer.status_code, answer.json()) == (401, {"error": says})


async def test_threads_are_followed(http: Http, log: Log) -> None:
    """
    The caller's request id and trace are kept with the event.
    """
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = await http.post(
        "/sync/session",
        json={"externalId": "s"},
        headers={"X-Request-Id": "r-1", "traceparent": trace},
    )
    message = await log.at(answer.json()["seq"])

    assert answer.headers["x-request-id"] == "r-1"
    assert message is not None
    assert decode_envelope(message.payload).correlation_id == "r-1"


async def test_log_away(
    http: Http, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When the log cannot confirm, the plugin hears 503 and when to come back.
    """

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("The log cannot be reached.")

    monkeypatch.setattr(gateway.log, "append", away)
    answer = await http.post("/sync/session", json={"externalId": "s"})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "The log cannot be reached."}


async def test_our_own_mistakes(
    http: Http, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What we did not foresee is 500 with a fixed sentence, nothing of our insides.
    """

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr(gateway.log, "append", broken)
    answer = await http.post("/sync/session", json={"externalId": "s"})

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert list(answer.json()) == ["error"]


async def test_concurrency(http: Http, log: Log) -> None:
    """
    Hundreds at once are all stored.
    """
    before = await log.head()
    sent = [{"sessionExternalId": "s", "externalId": f"m{n}"} for n in range(300)]
    answers = await asyncio.gather(
        *(http.post("/sync/message", json=one) for one in sent)
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["seq"] for answer in answers}) == 300
    assert await log.head() >= before + 300


async def test_slashes_and_prefixes(http: Http) -> None:
    """
    The base URLs that the plugins' login accepts all work.
    """
    base = str(http.base_url).rstrip("/")
    for path in (
        "//sync/session",
        "/.convex.site/sync/session",
        "/convex.site//sync/session",
    ):
        answer = await http.post(
            f"{base}{path}", content=json.dumps({"externalId": "s"})
        )
        assert answer.status_code == 200


async def test_refused_while_sending(http: Http) -> None:
    """
    Who is refused in the middle of sending a large body still hears why.
    """
    strange = {"Authorization": "Bearer osk_" + "a" * 43}
    answer = await http.post("/sync/batch", content=b"x" * 20_000_000, headers=strange)

    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid API key"})


async def test_large_batches_take_turns(http: Http) -> None:
    """
    Batches of many megabytes at once are stored one after another.
    """
    sent = [
        {"sessionExternalId": "s", "externalId": f"m{n}", "textContent": "x" * 100_000}
        for n in range(100)
    ]
    answers = await asyncio.gather(
        *(http.post("/sync/batch", json={"messages": sent}) for _ in range(3))
    )

    assert [answer.json().get("messages") for answer in answers] == [100, 100, 100]
