"""`make demo`: feed a short history through the front door, to have something to see.

Ids are fixed, and times are counted back from the first run, so that a second run
finds everything there and sends nothing.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.connection import Connection, Door
from bench.stories import Call, Said, Story, claude_code, opencode
from deploy.cli.running import OWNER, Running, perform, settings
from deploy.local import health
from shared import ids
from shared.requests import IssueApiKey, IssuedKey, RegisterUser


STORIES = sorted(
    (*claude_code.STORIES, *opencode.STORIES), key=lambda story: -story.days_ago
)
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
KEY_DAYS = 7

Json = dict[str, Any]


@dataclass(slots=True)
class Api:
    """The front door, one request at a time."""

    door: Door
    connection: Connection

    async def post(self, path: str, body: Json) -> int:
        """Send a sync call; return its place in the log."""
        request = self.door.post(path, msgspec.json.encode(body))
        status, answer = await self.connection.ask(request)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {answer.decode()}")
        return int(msgspec.json.decode(answer)["seq"])

    async def session(self, id_: str, *, after: int = 0) -> Json | None:
        path = f"/api/sessions/{id_}?limit=1&after={after}"
        status, answer = await self.connection.ask(self.door.get(path))
        return dict(msgspec.json.decode(answer)["session"]) if status == 200 else None


def main() -> None:
    perform(_demo)


async def _demo(system: Running) -> None:
    given = settings()
    url = system.run.url if system.run else given.public_url or health.url(given)
    key = given.owner_key or await _issued(system)
    door = Door.at(url, key)
    connection = await Connection.to(door)
    fed = await feed(Api(door, connection))
    connection.close()
    _say(url, key, fed)


async def _issued(system: Running) -> str:
    """Issue a key of the owner's that ends by itself."""
    await system.bus.answer(RegisterUser(name=OWNER))
    ends = int(time.time() * 1000) + KEY_DAYS * DAY_MS
    command = IssueApiKey(user=ids.user_id(OWNER), name="demo", expires_at=ends)
    issued: IssuedKey = await system.bus.answer(command)
    return issued.key


async def feed(api: Api) -> list[str]:
    """Send every story that is not there in full; return the ids of those sent."""
    found = {story.id: await api.session(story.id) for story in STORIES}
    today = _anchor(found)
    missing = [story for story in STORIES if not _is_whole(story, found[story.id])]
    last = 0
    for story in missing:
        began = today - round(story.days_ago * DAY_MS)
        for path, body in calls_of(story, began):
            last = await api.post(path, body)
    if missing:
        await api.session(missing[-1].id, after=last)
    return [story.id for story in missing]


def _anchor(found: dict[str, Json | None]) -> int:
    """Say what the first run took for now."""
    for story in STORIES:
        if session := found[story.id]:
            return int(session["createdAt"]) + round(story.days_ago * DAY_MS)
    return int(time.time() * 1000) // HOUR_MS * HOUR_MS


def _is_whole(story: Story, session: Json | None) -> bool:
    return session is not None and session["messageCount"] == len(story.lines)


def calls_of(story: Story, began: int) -> Iterator[tuple[str, Json]]:
    """Spell out the sync calls that the agent's plugin makes, with times added."""
    shape = _claude_code if story.agent == "claude-code" else _opencode
    yield "/sync/session", {**_begun(story), "createdAt": began}
    at = began
    for number, line in enumerate(story.lines):
        at += (line.after_s * 1000) if isinstance(line, Said) else line.took_ms + 900
        message = shape(story, number, line)
        about = {"sessionExternalId": story.id, "createdAt": at}
        yield "/sync/message", {**about, **message}
    yield "/sync/session", _ended(story, at - began)


def _begun(story: Story) -> Json:
    session: Json = {
        "externalId": story.id,
        "title": story.title,
        "projectPath": story.path,
        "projectName": story.project,
        "model": story.model,
    }
    if story.agent == "claude-code":
        return {**session, "source": story.agent}
    return {**session, "provider": story.provider}


def _ended(story: Story, took_ms: int) -> Json:
    prompt, completion = story.tokens
    session: Json = {
        "externalId": story.id,
        "promptTokens": prompt,
        "completionTokens": completion,
        "cost": story.cost,
    }
    if story.agent != "claude-code":
        return session
    return {
        **session,
        "source": story.agent,
        "messageCount": sum(isinstance(line, Said) for line in story.lines),
        "toolCallCount": sum(isinstance(line, Call) for line in story.lines),
        "endReason": story.end_reason,
        "durationMs": took_ms,
    }


def _claude_code(story: Story, number: int, line: Call | Said) -> Json:
    message: Json = {"source": story.agent}
    if isinstance(line, Call):
        call = {"toolName": line.tool, "args": line.args}
        return {
            **message,
            "externalId": f"toolu_{story.id}_{number}",
            "role": "assistant",
            "durationMs": line.took_ms,
            "parts": [
                {"type": "tool-call", "content": call},
                {"type": "tool-result", "content": line.result},
            ],
        }
    message |= {"role": line.role, "textContent": line.text}
    if line.role == "user":
        return {**message, "externalId": f"{story.id}-user-{number}"}
    model = line.model or story.model
    return {**message, "externalId": f"{story.id}-{number}", "model": model}


def _opencode(story: Story, number: int, line: Call | Said) -> Json:
    if isinstance(line, Call):
        raise TypeError("OpenCode's plugin does not send tool calls")
    message: Json = {
        "externalId": f"msg_{story.id}_{number}",
        "role": line.role,
        "textContent": line.text,
    }
    if line.role == "user":
        return message
    return {
        **message,
        "model": line.model or story.model,
        "promptTokens": line.tokens[0],
        "completionTokens": line.tokens[1],
        "durationMs": line.after_s * 1000,
    }


def _say(url: str, key: str, fed: list[str]) -> None:
    kept = len(STORIES) - len(fed)
    print(f"\nThe demo: {len(fed)} sessions synced, {kept} were there already.\n")
    print(f"  export KEY={key}")
    story = STORIES[-1].id
    for path in (
        "/api/sessions?limit=10",
        f"/api/sessions/{story}",
        f"/api/export?format=markdown&id={story}",
        "/api/stats",
    ):
        print(f'  curl -H "Authorization: Bearer $KEY" "{url}{path}"')
    print(f"\n  {url}/docs\n")


if __name__ == "__main__":
    main()
