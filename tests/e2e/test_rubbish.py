"""Rubbish at the front door: refused in a sentence, with the right status, never a 5xx."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import NewPerson


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

JSON = {"Content-Type": "application/json"}
MESSAGE = {"sessionExternalId": "s", "externalId": "m", "role": "user"}
MIB = 2**20

BODIES: list[tuple[str, bytes, int]] = [
    ("empty", b"", 400),
    ("malformed", b'{"externalId":', 400),
    ("null", b"null", 400),
    ("a list", b"[]", 400),
    ("a number", b"1", 400),
    ("not UTF-8", b'{"externalId": "\xff\xfe"}', 400),
    ("deep list", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
    ("deep object", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
    ("unclosed", b"[" * 100_000, 400),
]
MESSAGES: list[tuple[str, dict[str, Any], int]] = [
    ("no ids", {"role": "user"}, 400),
    ("null id", {**MESSAGE, "externalId": None}, 400),
    ("empty id", {**MESSAGE, "sessionExternalId": ""}, 400),
    ("object as id", {**MESSAGE, "externalId": {"a": 1}}, 422),
    ("bool as id", {**MESSAGE, "externalId": True}, 422),
    ("huge id", {**MESSAGE, "externalId": "x" * 100_000}, 422),
    ("number as parts", {**MESSAGE, "parts": 7}, 422),
    ("words as tokens", {**MESSAGE, "promptTokens": "many"}, 422),
    ("negative tokens", {**MESSAGE, "completionTokens": -1}, 422),
    ("huge tokens", {**MESSAGE, "promptTokens": 10**40}, 422),
    ("words as cost", {**MESSAGE, "cost": "cheap"}, 422),
    ("words as time", {**MESSAGE, "createdAt": "yesterday"}, 422),
    ("impossible time", {**MESSAGE, "createdAt": 1e300}, 422),
    ("9 MB", {**MESSAGE, "textContent": "x" * 9 * MIB}, 413),
]
REQUESTS: list[tuple[str, str, int]] = [
    ("GET", "/nothing/here", 404),
    ("GET", "/api/sessions/../../etc/passwd", 404),
    ("GET", "/sync/message", 405),
    ("POST", "/api/sessions", 405),
    ("DELETE", "/sync/session", 405),
    ("BREW", "/health", 405),
    ("GET", "/api/sessions/get", 400),
    ("GET", "/api/sessions/none", 404),
    ("GET", f"/api/sessions/{'x' * 5000}", 404),
    ("GET", "/api/sessions/%00", 404),
    ("GET", "/api/sessions/%FF%FE", 404),
    ("GET", "/api/sessions?limit=0", 400),
    ("GET", "/api/sessions?limit=-1", 400),
    ("GET", "/api/sessions?limit=ten", 400),
    ("GET", f"/api/sessions?limit={10**30}", 400),
    ("GET", "/api/sessions?cursor=rubbish", 400),
    ("GET", "/api/sessions?cursor=W10", 400),
    ("GET", "/api/sessions?cursor=WzFlOTk5LG51bGxd", 400),
    ("GET", "/api/sessions?sort=;DROP%20TABLE%20session", 400),
    ("GET", "/api/sessions?order=sideways", 400),
    ("GET", "/api/sessions?public=perhaps", 400),
    ("GET", "/api/sessions?since=yesterday", 400),
    ("GET", f"/api/sessions?until={10**40}", 400),
    ("GET", "/api/sessions?source=%00", 400),
    ("GET", "/api/sessions?after=soon", 400),
    ("GET", f"/api/sessions?after={10**30}", 400),
    ("GET", "/api/export", 400),
    ("GET", "/api/export?id=none", 404),
    ("GET", "/api/export/sessions?format=exe", 400),
    ("GET", "/api/public/none", 404),
    ("GET", "/api/live?ticket=none", 401),
    ("PATCH", "/api/sessions/none", 400),
    ("DELETE", "/api/sessions/none", 404),
    ("POST", "/api/sessions/none/share", 404),
    ("DELETE", "/api/keys/none", 404),
]
KEYS: list[tuple[str, str]] = [
    ("no key", ""),
    ("a wrong key", "Bearer osk_wrong"),
    ("half a key", "Bearer osk_"),
    ("another scheme", "Basic b3NrXzpvc2tf"),
    ("an unsigned token", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvd25lciJ9."),
]


def refused(answer: httpx.Response, status: int) -> None:
    """Hold an answer against the contract for all errors."""
    assert status == answer.status_code, answer.text[:300]
    told = answer.json()
    assert list(told) == ["error"]
    assert isinstance(told["error"], str)
    assert told["error"]
    assert "Traceback" not in told["error"]


@pytest.mark.parametrize("path", ["/sync/session", "/sync/message", "/sync/batch"])
@pytest.mark.parametrize(
    ("body", "status"),
    [pytest.param(body, status, id=name) for name, body, status in BODIES],
)
async def test_bodies(api: httpx.AsyncClient, path: str, body: bytes, status: int):
    """A body that is no JSON object is refused."""
    refused(await api.post(path, content=body, headers=JSON), status)


@pytest.mark.parametrize(
    ("message", "status"),
    [pytest.param(message, status, id=name) for name, message, status in MESSAGES],
)
async def test_messages(api: httpx.AsyncClient, message: dict[str, Any], status: int):
    """A message with a field that makes no sense is refused."""
    refused(await api.post("/sync/message", json=message), status)


async def test_endless_body(api: httpx.AsyncClient):
    """A body over the limit that does not say its length is refused as well."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"externalId": "m", "sessionExternalId": "s", "textContent": "'
        for _ in range(9):
            yield b"x" * MIB

    refused(await api.post("/sync/message", content=body(), headers=JSON), 413)


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
async def test_requests(api: httpx.AsyncClient, method: str, path: str, status: int):
    """A request for what is not there, or with parameters out of range, is refused."""
    refused(await api.request(method, path), status)


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=name) for name, given in KEYS]
)
async def test_keys(stranger: httpx.AsyncClient, given: str):
    """Without a good key nothing is told and nothing is taken."""
    headers = {"Authorization": given} if given else {}
    for method, path in (("GET", "/api/sessions"), ("POST", "/sync/batch")):
        refused(await stranger.request(method, path, headers=headers), 401)


async def test_scopes(new_person: NewPerson):
    """A key does only what its scopes allow."""
    reader = (await new_person(scopes=("read",))).api
    refused(await reader.post("/sync/message", json=MESSAGE), 403)
    refused(await reader.get("/api/export", params={"id": "s"}), 403)
    refused(await reader.delete("/api/sessions/s"), 403)


async def test_batch_items(api: httpx.AsyncClient):
    """The good items of a batch are stored, each bad one is named with its reason."""
    bad = [1, None, "text", [], {}, {**MESSAGE, "promptTokens": "many"}]
    answer = await api.post("/sync/batch", json={"messages": [*bad, MESSAGE]})
    told = answer.json()
    assert (200, 1) == (answer.status_code, told["messages"])
    assert list(range(len(bad))) == [item["index"] for item in told["items"]]
    assert len(bad) == len(told["errors"])

    found = await api.get("/api/sessions/s", params={"after": told["seq"]})
    assert ["m"] == [m["externalId"] for m in found.json()["messages"]]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b'"half \\ud83d of a pair"', "half \ufffd of a pair", id="half"),
        pytest.param(
            '"\U0001f980 \u202e\ufeff"'.encode(), "\U0001f980 \u202e\ufeff", id="odd"
        ),
        pytest.param(b'"nul \\u0000 here"', "nul \ufffd here", id="nul"),
        pytest.param(b"5", "5", id="number"),
        pytest.param(b'""', "", id="empty"),
    ],
)
async def test_odd_text(api: httpx.AsyncClient, body: bytes, text: str):
    """Text that is merely odd is stored, as near to what was sent as JSON allows."""
    raw = b'{"sessionExternalId": "s", "externalId": "m", "textContent": ' + body + b"}"
    answer = await api.post("/sync/message", content=raw, headers=JSON)
    assert answer.status_code == 200, answer.text

    path = "/api/sessions/s"
    found = await api.get(path, params={"after": answer.json()["seq"]})
    [message] = found.json()["messages"]
    assert text == message["textContent"]


async def test_odd_fields(api: httpx.AsyncClient):
    """Nulls count as absent, unknown keys of any spelling are kept."""
    odd = {"$ref": {"_id": [None]}, "ключ": 1, "a" * 300: True}
    nulls = dict.fromkeys(("role", "model", "parts", "createdAt", "cost", "source"))
    answer = await api.post("/sync/message", json={**MESSAGE, **nulls, **odd})
    assert answer.status_code == 200, answer.text

    path = "/api/sessions/s"
    found = await api.get(path, params={"after": answer.json()["seq"]})
    [message] = found.json()["messages"]
    assert odd == message["extra"]
    assert "model" not in message
    assert message["parts"] == []
