"""Keys over HTTP: issued, scoped, revoked, paced; and who may do what."""

import asyncio
import time
from typing import Any

import httpx
import msgspec
import pytest
from nats.aio.client import Client

from deploy.local.ports import free_port
from services.gateway.gateway import Gateway
from services.gateway.projection import KEYS
from services.gateway.ratelimit import RateLimit
from shared import subjects
from shared.errors import Conflict
from shared.events import ApiKeyUsed
from shared.log import Log
from shared.requests import IssueApiKey, RegisterUser
from shared.settings import Settings
from tests.conftest import working
from tests.gateway.conftest import ADA, BOB, Http, a_key, gateway_process, speaking


async def test_me(http: Http, key: str) -> None:
    """
    Any good key may ask whose it is.
    """
    body = (await http.get("/api/me")).json()

    assert body["user"] == {"id": str(ADA), "name": "ada"}
    assert (body["key"]["prefix"], body["key"]["scopes"]) == (
        key[:12],
        ["sync", "read", "export", "admin"],
    )


async def test_issue_use_revoke(http: Http, settings: Settings) -> None:
    """
    An issued key works at once, a revoked one no longer.
    """
    answer = await http.post("/api/keys", json={"name": "plugin", "scopes": ["sync"]})
    issued = answer.json()
    async with speaking(settings, issued["key"]) as plugin:
        assert (
            answer.status_code,
            (await plugin.post("/sync/session", json={"externalId": "s"})).status_code,
        ) == (201, 200)
        assert (await http.delete(f"/api/keys/{issued['id']}")).json()["ok"] is True
        assert (
            await plugin.post("/sync/session", json={"externalId": "s"})
        ).status_code == 401
    assert (await http.delete(f"/api/keys/{issued['id']}")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/sync/session", "sync"),
        ("GET", "/sync/sessions/list", "sync"),
        ("GET", "/api/sessions", "read"),
        ("GET", "/api/sessions/x", "read"),
        ("GET", "/api/stats", "read"),
        ("GET", "/api/live", "read"),
        ("GET", "/api/export?id=x", "export"),
        ("GET", "/api/export/sessions", "export"),
        ("PATCH", "/api/sessions/x", "admin"),
        ("DELETE", "/api/sessions/x", "admin"),
        ("POST", "/api/sessions/x/share", "admin"),
        ("POST", "/api/sessions/x/unshare", "admin"),
        ("GET", "/api/keys", "admin"),
        ("POST", "/api/keys", "admin"),
        ("DELETE", "/api/keys/x", "admin"),
    ],
)
async def test_scopes(
    gateway: Gateway, settings: Settings, method: str, path: str, scope: str
) -> None:
    """
    A key without the scope is refused, and told which it lacks.
    """
    others = tuple(s for s in ("sync", "read", "export", "admin") if s != scope)
    async with speaking(settings, await a_key(gateway, scopes=others)) as http:
        answer = await http.request(method, path)

    assert (answer.status_code, answer.json()) == (
        403,
        {"error": f"This API key lacks the scope '{scope}'."},
    )


async def test_no_escalation(gateway: Gateway, settings: Settings) -> None:
    """
    A key cannot issue a key with a scope it lacks, and by default gives what it has.
    """
    async with speaking(settings, await a_key(gateway, scopes=("admin",))) as http:
        refused = await http.post("/api/keys", json={"name": "k", "scopes": ["read"]})
        given = await http.post("/api/keys", json={"name": "k"})

    assert (refused.status_code, given.json()["scopes"]) == (403, ["admin"])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"{", 400),
        (b"{}", 400),
        (b'{"name": 5}', 422),
        (b'{"name": ""}', 400),
        (b'{"name": "k", "scopes": ["root"]}', 422),
        (b'{"name": "k", "scopes": []}', 400),
        (b'{"name": "k", "expiresAt": 5}', 422),
    ],
)
async def test_bad_wishes(http: Http, sent: bytes, status: int) -> None:
    """
    A key that cannot be issued is refused with a sentence.
    """
    answer = await http.post("/api/keys", content=sent)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])


@pytest.mark.parametrize("id_", ["nonsense", "3f6b6d6f-b120-57ee-836b-ca21cb43aa59"])
async def test_revoke_unknown(http: Http, id_: str) -> None:
    """
    A key that is not there, or not the caller's, cannot be revoked.
    """
    assert (await http.delete(f"/api/keys/{id_}")).status_code == 404


async def test_another_users_key(
    http: Http, gateway: Gateway, settings: Settings
) -> None:
    """
    Another user's key looks as if it were not there.
    """
    mine = (await http.post("/api/keys", json={"name": "k"})).json()
    async with speaking(settings, await a_key(gateway, user="bob")) as bob:
        assert (await bob.delete(f"/api/keys/{mine['id']}")).status_code == 404


async def test_expiry(gateway: Gateway, settings: Settings) -> None:
    """
    A key ends when it was said to end.
    """
    key = await a_key(gateway, expires_at=int(time.time() * 1000) + 60_000)
    [known] = [k for k in gateway.keyring._by_hash.values() if k.prefix == key[:12]]  # noqa: SLF001
    assert known.is_expired(int(time.time() * 1000) + 60_001)

    gateway.keyring._by_hash[known.hash] = msgspec.structs.replace(known, expires_at=1)  # noqa: SLF001
    async with speaking(settings, key) as http:
        answer = await http.get("/api/me")
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "This API key has expired."},
    )


async def test_given_key(gateway: Gateway) -> None:
    """
    A key the operator chose is issued once, whoever asks how often.
    """
    chosen = "osk_" + "k" * 43
    await gateway.accounts.register_user(RegisterUser(name="ada"))
    command = IssueApiKey(user=ADA, name="owner", key=chosen)
    first, again = [await gateway.accounts.issue_key(command) for _ in range(2)]
    assert (first.id, first.seq) == (again.id, again.seq)

    await gateway.accounts.register_user(RegisterUser(name="bob"))
    with pytest.raises(Conflict):
        await gateway.accounts.issue_key(IssueApiKey(user=BOB, name="mine", key=chosen))


async def test_two_at_once(gateway: Gateway) -> None:
    """
    Of the same key issued many times at once there is one.
    """
    await asyncio.gather(
        *(gateway.accounts.register_user(RegisterUser(name="ada")) for _ in range(3))
    )
    command = IssueApiKey(user=ADA, name="owner", key="osk_" + "k" * 43)
    issued = await asyncio.gather(
        *(gateway.accounts.issue_key(command) for _ in range(3))
    )

    assert len({key.id for key in issued}) == 1


async def test_revocation_reaches_every_gateway(http: Http, settings: Settings) -> None:
    """
    A key revoked at one gateway is refused by another within a second.
    """
    elsewhere = msgspec.structs.replace(settings, port=free_port())
    issued = (await http.post("/api/keys", json={"name": "k"})).json()
    async with gateway_process(elsewhere), speaking(elsewhere, issued["key"]) as other:
        assert (await other.get("/api/me")).status_code == 200
        await http.delete(f"/api/keys/{issued['id']}")
        async with asyncio.timeout(1):
            while (await other.get("/api/me")).status_code != 401:
                pass


async def test_rate_limit(settings: Settings) -> None:
    """
    A key that knocks too often is told to wait, and for how long.
    """
    slow = msgspec.structs.replace(settings, rate_limit=1)
    async with (
        gateway_process(slow) as gateway,
        speaking(slow, await a_key(gateway)) as http,
    ):
        answers = [await http.get("/api/me") for _ in range(4)]

    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (429, "1")
    assert isinstance(gateway.limit, RateLimit)


async def test_last_use(http: Http, gateway: Gateway, log: Log) -> None:
    """
    That a key is used is written down once an hour, behind the request.
    """
    for _ in range(3):
        await http.get("/api/me")
    await gateway.usage.settled()

    assert len(await log.newest(subjects.stored(ApiKeyUsed.__name__))) == 1
    assert len([s async for s in log.read(subjects.stored(ApiKeyUsed.__name__))]) == 1


async def test_key_list(settings: Settings, postgres_url: str, client: Client) -> None:
    """
    The list shows what a person needs to tell keys apart, and nothing to use them.
    """
    with_pool = msgspec.structs.replace(settings, postgres_url=postgres_url)
    async with (
        working(KEYS, postgres_url=postgres_url, client=client),
        gateway_process(with_pool) as gateway,
    ):
        key = await a_key(gateway)
        async with speaking(with_pool, key) as http:
            extra = (await http.post("/api/keys", json={"name": "extra"})).json()
            gone = (await http.delete(f"/api/keys/{extra['id']}")).json()
            answer = await http.get(f"/api/keys?after={gone['seq']}")

    shown: list[dict[str, Any]] = answer.json()["keys"]
    assert [(k["name"], k["prefix"]) for k in shown] == [
        ("laptop", key[:12]),
        ("extra", extra["prefix"]),
    ]
    assert shown[0]["lastUsedAt"]
    assert shown[1]["revokedAt"]
    assert key not in answer.text
    assert extra["key"] not in answer.text


async def test_metrics(http: Http) -> None:
    """
    A monitor reads how many events were accepted and stored, without a key.
    """
    async with httpx.AsyncClient(base_url=http.base_url) as stranger:
        before = _metrics((await stranger.get("/metrics")).text)
        await http.post("/sync/session", json={"externalId": "s1"})
        after = _metrics((await stranger.get("/metrics")).text)

    assert before["opensync_events_stored"] < after["opensync_events_stored"]
    assert after["opensync_events_accepted_total"] > 0


def _metrics(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in lines}
