"""A client that sends exactly what the OpenCode plugin sends, live and in bulk."""

from typing import Any

import httpx
import pytest


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

SESSION = "ses_e02a85e42ffeqmf6H83qgHKrZe"
MODEL = "claude-sonnet-4-20250514"
CWD = "/home/dev/demo"


async def sent(api: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    answer = await api.post(path, json=fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"] is True
    return answer.json()


async def stored(api: httpx.AsyncClient) -> dict[str, Any]:
    listed = await api.get("/sync/sessions/list")
    assert listed.json() == {"sessionIds": [SESSION]}
    return (await api.get("/api/sessions/get", params={"id": SESSION})).json()


async def bulk_session(api: httpx.AsyncClient, **changes: Any) -> None:
    """`opencode-sync sync`: the session first."""
    await sent(
        api,
        "/sync/session",
        **{
            "externalId": SESSION,
            "title": "Fix login",
            "projectPath": CWD,
            "projectName": "demo",
            "model": MODEL,
            "provider": "anthropic",
            "promptTokens": 100,
            "completionTokens": 50,
            "cost": 0.01,
            **changes,
        },
    )


async def bulk_messages(api: httpx.AsyncClient, **times: Any) -> None:
    """Then its messages one by one, of which tool calls have an empty text."""
    user = {"externalId": "msg_1", "role": "user", "textContent": "Fix the login"}
    empty = {"externalId": "msg_2", "role": "assistant", "textContent": ""}
    answer = {
        "externalId": "msg_3",
        "role": "assistant",
        "textContent": "Done.",
        "model": MODEL,
        "promptTokens": 100,
        "completionTokens": 50,
        "durationMs": 3000,
    }
    for number, message in enumerate((user, empty, answer)):
        given = {name: start + number for name, start in times.items()}
        await sent(api, "/sync/message", sessionExternalId=SESSION, **message, **given)


async def live_message(api: httpx.AsyncClient, **changes: Any) -> None:
    """The plugin module, 800 ms after the last part: no session was ever sent."""
    await sent(
        api,
        "/sync/message",
        **{
            "sessionExternalId": SESSION,
            "externalId": "msg_1",
            "role": "user",
            "textContent": '"List the files here"',
            **changes,
        },
    )


async def test_bulk_session(api: httpx.AsyncClient):
    """A session synced in bulk has every field that the plugin sent."""
    await bulk_session(api)
    await bulk_messages(api)

    session = (await stored(api))["session"]
    expected = {
        "externalId": SESSION,
        "title": "Fix login",
        "projectPath": CWD,
        "projectName": "demo",
        "model": MODEL,
        "provider": "anthropic",
        "source": "opencode",
        "promptTokens": 100,
        "completionTokens": 50,
        "totalTokens": 150,
        "cost": 0.01,
        "messageCount": 3,
        "toolCallCount": 0,
    }
    assert expected == {name: session[name] for name in expected}
    assert "source" in session["derived"]


async def test_bulk_messages(api: httpx.AsyncClient):
    """Messages synced in bulk come in the order in which they were sent."""
    await bulk_session(api)
    await bulk_messages(api)

    first, empty, answer = (await stored(api))["messages"]
    assert ("user", "Fix the login") == (first["role"], first["textContent"])
    assert ("assistant", "") == (empty["role"], empty["textContent"])
    told = ("textContent", "model", "promptTokens", "completionTokens", "durationMs")
    assert ["Done.", MODEL, 100, 50, 3000] == [answer[name] for name in told]


async def test_bulk_again(api: httpx.AsyncClient):
    """`sync --force` changes nothing but when the session was last heard of."""
    await bulk_session(api)
    await bulk_messages(api)
    before = await stored(api)
    await bulk_session(api)
    await bulk_messages(api)
    after = await stored(api)

    volatile = {"updatedAt", "seq"}
    for found in (
        before["session"],
        after["session"],
        *before["messages"],
        *after["messages"],
    ):
        for name in volatile & set(found):
            del found[name]
    assert before == after


async def test_created_at(api: httpx.AsyncClient):
    """Times that a newer plugin sends later correct the ones we had inferred."""
    await bulk_session(api)
    await bulk_messages(api)
    await bulk_session(api, createdAt=1_769_076_000_000)
    await bulk_messages(api, createdAt=1_769_076_000_000)

    found = await stored(api)
    assert found["session"]["createdAt"] == 1_769_076_000_000
    assert [0, 1, 2] == [m["createdAt"] - 1_769_076_000_000 for m in found["messages"]]


async def test_all_at_once(api: httpx.AsyncClient):
    """`sync --all` right after a session sees that it need not be sent again."""
    for number in range(20):
        await bulk_session(api, externalId=f"ses_{number}")
        listed = (await api.get("/sync/sessions/list")).json()["sessionIds"]
        assert number + 1 == len(listed)
        assert f"ses_{number}" in listed


async def test_live_alone(api: httpx.AsyncClient):
    """A session of which only messages ever arrive is made useful by itself."""
    await live_message(api)
    await live_message(
        api,
        externalId="msg_2",
        role="assistant",
        textContent="There are three.",
        model=MODEL,
        promptTokens=100,
        completionTokens=50,
        durationMs=400,
    )

    session = (await stored(api))["session"]
    expected = {
        "title": "List the files here",
        "model": MODEL,
        "provider": "anthropic",
        "source": "opencode",
        "promptTokens": 100,
        "completionTokens": 50,
        "totalTokens": 150,
        "messageCount": 2,
    }
    assert expected == {name: session[name] for name in expected}
    assert {"title", "model", "provider", "promptTokens"} <= set(session["derived"])


async def test_live_oddities(api: httpx.AsyncClient):
    """A model that is an object, nulls and an unknown role are taken as meant."""
    await live_message(
        api,
        role="unknown",
        model={"providerID": "anthropic", "modelID": MODEL},
        promptTokens=None,
        durationMs=None,
    )

    found = await stored(api)
    [message] = found["messages"]
    assert message["role"] == "unknown"
    assert (MODEL, "anthropic") == (message["model"], message["provider"])
    assert "promptTokens" not in message
    assert found["session"]["model"] == MODEL


async def test_untitled(api: httpx.AsyncClient):
    """The plugin's stand-in for a title gives way to the user's first words."""
    await bulk_session(api, title="Untitled Session", model="unknown")
    await live_message(api)

    session = (await stored(api))["session"]
    assert session["title"] == "List the files here"
    assert "title" in session["derived"]


async def test_truncated_then_whole(api: httpx.AsyncClient):
    """A message stored half, as the live plugin does, is completed by a bulk sync."""
    await live_message(api, externalId="msg_3", role="assistant", textContent="Do")
    await bulk_messages(api)

    messages = {m["externalId"]: m for m in (await stored(api))["messages"]}
    assert messages["msg_3"]["textContent"] == "Done."
    assert len(messages) == 3
