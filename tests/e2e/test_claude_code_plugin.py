"""Claude Code's published plugin against the running system, field by field."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import System
from tests.e2e.claude_code import ClaudeCodeSync
from tests.e2e.conftest import Person


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

SESSION = "7c0b6a2e-41f5-4c88-9d0f-3a1a9c0f5b11"
CWD = "/home/dev/demo"
MODEL = "claude-sonnet-4-20250514"
PROMPT = "Fix the login redirect"
TRANSCRIPT: list[dict[str, Any]] = [
    {
        "type": "user",
        "uuid": "u1",
        "timestamp": "2026-01-22T10:00:00.000Z",
        "cwd": CWD,
        "message": {"role": "user", "content": PROMPT},
    },
    {
        "type": "assistant",
        "uuid": "a1",
        "timestamp": "2026-01-22T10:00:02.000Z",
        "message": {
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": "I will read the file."}],
            "usage": {
                "input_tokens": 10,
                "output_tokens": 20,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 200,
            },
        },
    },
    {
        "type": "assistant",
        "uuid": "a2",
        "timestamp": "2026-01-22T10:00:03.000Z",
        "message": {
            "role": "assistant",
            "model": MODEL,
            "content": [
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "Read",
                    "input": {"file_path": "a.ts"},
                }
            ],
            "usage": {
                "input_tokens": 12,
                "output_tokens": 8,
                "cache_read_input_tokens": 300,
            },
        },
    },
    {
        "type": "user",
        "uuid": "u2",
        "timestamp": "2026-01-22T10:00:04.000Z",
        "message": {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "file text",
                }
            ],
        },
    },
    {
        "type": "assistant",
        "uuid": "a3",
        "timestamp": "2026-01-22T10:00:09.000Z",
        "message": {
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": "Done."}],
            "usage": {
                "input_tokens": 5,
                "output_tokens": 15,
                "cache_read_input_tokens": 320,
            },
        },
    },
]


@pytest.fixture
def transcript(tmp_path: Path) -> str:
    """What Claude Code has written about the session by the time it stops."""
    path = tmp_path / "transcript.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in TRANSCRIPT))
    return str(path)


async def stored(api: httpx.AsyncClient, session: str = SESSION) -> dict[str, Any]:
    """Open a session as it is when everything acknowledged so far is readable."""
    listed = await api.get("/sync/sessions/list")
    assert session in listed.json()["sessionIds"]
    return (await api.get("/api/sessions/get", params={"id": session})).json()


async def started(plugin: ClaudeCodeSync, **fields: Any) -> None:
    await plugin.hook(
        "SessionStart",
        session_id=SESSION,
        cwd=CWD,
        source="startup",
        permission_mode="default",
        model=MODEL,
        **fields,
    )


async def prompted(plugin: ClaudeCodeSync, prompt: str = PROMPT) -> None:
    await plugin.hook("UserPromptSubmit", session_id=SESSION, prompt=prompt)


async def used_a_tool(plugin: ClaudeCodeSync, **result: Any) -> None:
    await plugin.hook(
        "PostToolUse",
        session_id=SESSION,
        tool_name="Read",
        tool_use_id="toolu_1",
        tool_input={"file_path": "a.ts"},
        **result,
    )


async def test_status(claude_code_sync: ClaudeCodeSync):
    """`status` finds the system."""
    done = await claude_code_sync.run("status")

    assert (0, "") == (done.status, done.err)
    assert "Connected to Convex backend" in done.out


async def test_synctest(claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient):
    """`synctest` leaves a session that says it was a test."""
    done = await claude_code_sync.run("synctest")
    assert (0, "") == (done.status, done.err)

    [name] = (await api.get("/sync/sessions/list")).json()["sessionIds"]
    session = (await stored(api, name))["session"]
    assert re.fullmatch(r"test-\d{13}", session["externalId"])
    assert session["title"] == "Connection Test"
    assert session["projectName"] == "synctest"
    assert session["source"] == "claude-code"
    assert session["messageCount"] == 0


async def test_login(claude_code_sync: ClaudeCodeSync, system: System, person: Person):
    """`login` accepts our address behind a prefix that looks like the reference's."""
    plugin = claude_code_sync.configured_by({})
    url = f"{system.run.url}/.convex.site"
    done = await plugin.run("login", stdin=[url, person.key])
    assert (0, "") == (done.status, done.err), done.out

    config = plugin.home / ".config" / "claude-code-sync" / "config.json"
    saved = json.loads(config.read_text())
    assert (url, person.key) == (saved["convexUrl"], saved["apiKey"])


async def test_after_login(
    claude_code_sync: ClaudeCodeSync, system: System, person: Person
):
    """What hooks send through the prefix that `login` keeps is stored as any other."""
    plugin = claude_code_sync.configured_by({})
    url = f"{system.run.url}/.convex.site"
    await plugin.run("login", stdin=[url, person.key])
    await started(plugin)

    assert (await stored(person.api))["session"]["externalId"] == SESSION


async def test_trailing_slash(
    claude_code_sync: ClaudeCodeSync, system: System, person: Person
):
    """An address with a slash at its end, which the plugin doubles, works as well."""
    address = {
        "CLAUDE_SYNC_CONVEX_URL": f"{system.run.url}/",
        "CLAUDE_SYNC_API_KEY": person.key,
    }
    await started(claude_code_sync.configured_by(address))

    assert (await stored(person.api))["session"]["externalId"] == SESSION


async def test_session_start(claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient):
    """SessionStart stores where and with what the session began."""
    await started(claude_code_sync)

    session = (await stored(api))["session"]
    assert session["externalId"] == SESSION
    assert session["source"] == "claude-code"
    assert session["projectPath"] == CWD
    assert session["projectName"] == "demo"
    assert session["model"] == MODEL
    assert "title" not in session
    assert session["isPublic"] is False


async def test_user_prompt(claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient):
    """UserPromptSubmit stores the prompt, and the plugin's title made of it."""
    prompt = f"{PROMPT} and then {'look again ' * 12}".strip()
    await prompted(claude_code_sync, prompt)

    found = await stored(api)
    [message] = found["messages"]
    assert re.fullmatch(rf"{SESSION}-user-\d{{13}}", message["externalId"])
    assert message["role"] == "user"
    assert message["textContent"] == prompt
    assert message["parts"] == []
    assert found["session"]["title"] == f"{prompt[: prompt.rfind(' ', 0, 80)]}..."
    assert "title" not in found["session"]["derived"]


@pytest.mark.parametrize(
    ("result", "parts"),
    [
        pytest.param({"tool_result": {"output": "file text"}}, 2, id="old"),
        pytest.param({"tool_response": {"type": "text"}}, 1, id="current"),
    ],
)
async def test_post_tool_use(
    claude_code_sync: ClaudeCodeSync,
    api: httpx.AsyncClient,
    result: dict[str, Any],
    parts: int,
):
    """PostToolUse stores the call, and the result if the plugin can read it."""
    await used_a_tool(claude_code_sync, duration_ms=48, **result)

    [message] = (await stored(api))["messages"]
    assert (message["externalId"], message["role"]) == ("toolu_1", "assistant")
    assert message["durationMs"] == 48
    assert "textContent" not in message
    expected = [
        {
            "type": "tool-call",
            "content": {"toolName": "Read", "args": {"file_path": "a.ts"}},
            "toolName": "Read",
            "callId": "toolu_1",
        },
        {"type": "tool-result", "content": "file text", "callId": "toolu_1"},
    ]
    if parts == 2:
        for half in expected:
            half["pairedMessageId"] = message["id"]
    assert expected[:parts] == message["parts"]


async def test_stop(
    claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient, transcript: str
):
    """Stop stores what the assistant said, and the totals of tokens and cost."""
    await started(claude_code_sync)
    await claude_code_sync.hook(
        "Stop", session_id=SESSION, transcript_path=transcript, stop_hook_active=False
    )

    found = await stored(api)
    said = [(m["externalId"], m["role"], m["textContent"]) for m in found["messages"]]
    assert [
        ("a1", "assistant", "I will read the file."),
        ("a3", "assistant", "Done."),
    ] == said
    assert {MODEL} == {m["model"] for m in found["messages"]}
    session = found["session"]
    assert (947, 43, 990) == tuple(
        session[f"{kind}Tokens"] for kind in ("prompt", "completion", "total")
    )
    assert session["cost"] == pytest.approx(0.001347)
    assert session["clientMessageCount"] == 2
    assert session["clientToolCallCount"] == 1


async def test_whole_session(
    claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient, transcript: str
):
    """All five hooks leave one session in which every field they sent can be read."""
    await whole_session(claude_code_sync, transcript)

    session = (await stored(api))["session"]
    assert session.pop("cost") == pytest.approx(0.001347)
    known = {name: session[name] for name in EXPECTED}
    assert known == EXPECTED
    assert {"provider", "messageCount", "toolCallCount", "createdAt"} <= set(
        session["derived"]
    )
    assert not set(session["derived"]) & SENT
    assert "extra" not in session


async def whole_session(plugin: ClaudeCodeSync, transcript: str) -> None:
    await started(plugin)
    await prompted(plugin)
    await used_a_tool(plugin, tool_result={"output": "file text"})
    about = {"session_id": SESSION, "transcript_path": transcript}
    await plugin.hook("Stop", **about)
    await plugin.hook("SessionEnd", **about, cwd=CWD, reason="prompt_input_exit")


EXPECTED = {
    "externalId": SESSION,
    "title": PROMPT,
    "projectPath": CWD,
    "projectName": "demo",
    "model": MODEL,
    "provider": "anthropic",
    "source": "claude-code",
    "promptTokens": 947,
    "completionTokens": 43,
    "totalTokens": 990,
    "durationMs": 9000,
    "endReason": "prompt_input_exit",
    "isPublic": False,
    "messageCount": 4,
    "toolCallCount": 1,
    "clientMessageCount": 2,
    "clientToolCallCount": 1,
}
SENT = {
    "title",
    "projectName",
    "model",
    "source",
    "promptTokens",
    "completionTokens",
    "cost",
    "durationMs",
}


async def test_whole_conversation(
    claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient, transcript: str
):
    """All five hooks leave the prompt, the tool call and both answers, in order."""
    await whole_session(claude_code_sync, transcript)

    messages = (await stored(api))["messages"]
    told = [(m["role"], m.get("textContent"), len(m["parts"])) for m in messages]
    assert [
        ("user", PROMPT, 0),
        ("assistant", None, 2),
        ("assistant", "I will read the file.", 0),
        ("assistant", "Done.", 0),
    ] == told
    times = [m["createdAt"] for m in messages]
    assert times == sorted(times)
    assert all(m["derived"] == ["createdAt"] for m in messages)


async def test_resumed(
    claude_code_sync: ClaudeCodeSync, api: httpx.AsyncClient, transcript: str
):
    """A resumed session, whose answers the plugin sends again, has them once."""
    about = {"session_id": SESSION, "transcript_path": transcript}
    for _ in range(2):
        await started(claude_code_sync)
        await claude_code_sync.hook("Stop", **about)

    found = await stored(api)
    assert ["a1", "a3"] == [m["externalId"] for m in found["messages"]]
    assert found["session"]["messageCount"] == 2


async def test_wrong_key(claude_code_sync: ClaudeCodeSync):
    """A hook with a wrong key says why, and does not stop the agent."""
    claude_code_sync.environ["CLAUDE_SYNC_API_KEY"] = "osk_wrong"
    heard = {"session_id": SESSION, "cwd": CWD}
    done = await claude_code_sync.run("hook", "SessionStart", stdin=[json.dumps(heard)])

    assert done.status == 0
    assert '401 - {"error":' in done.err
