"""`make demo`: something for a newcomer to look at, and the same when run again."""

import asyncio
import sys

import httpx
import pytest

from bench.demo import STORIES
from deploy.local import System
from tests.e2e.conftest import Person


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


async def demo(system: System, key: str) -> str:
    """Run it as `make` does, beside the running system."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.demo",
        stdout=asyncio.subprocess.PIPE,
        env={
            "OPENSYNC_DATA_DIR": str(system.settings.data_dir),
            "OPENSYNC_OWNER_KEY": key,
        },
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def everything(api: httpx.AsyncClient) -> list[str]:
    lines = (await api.get("/api/export/sessions")).text
    return sorted(lines.splitlines())


@pytest.fixture
async def shown(system: System, person: Person) -> httpx.AsyncClient:
    """The front door of someone who has run the demo."""
    assert f"{len(STORIES)} sessions synced" in await demo(system, person.key)
    return person.api


async def test_history(shown: httpx.AsyncClient):
    """Ten sessions of two agents and several models lie within three weeks."""
    sessions = (await shown.get("/api/sessions?sort=created")).json()["sessions"]

    assert len(sessions) == 10
    assert {"claude-code", "opencode"} == {s["source"] for s in sessions}
    assert len({s["model"] for s in sessions}) >= 5
    times = [s["createdAt"] for s in sessions]
    assert 14 < (times[0] - times[-1]) / 86_400_000 < 21
    assert all(s["title"] and s["durationMs"] for s in sessions)


async def test_tools(shown: httpx.AsyncClient):
    """Every tool call has its result, and some results are errors."""
    sessions = (await shown.get("/api/sessions?source=claude-code")).json()["sessions"]
    found = [(await shown.get(f"/api/sessions/{s['id']}")).json() for s in sessions]
    parts = [p for each in found for m in each["messages"] for p in m["parts"]]

    assert len(parts) > 20
    assert all("pairedMessageId" in part for part in parts)
    assert any(
        "Error" in part["content"] for part in parts if part["type"] == "tool-result"
    )


async def test_again(system: System, person: Person, shown: httpx.AsyncClient):
    """A second run finds everything there and changes nothing."""
    before = await everything(shown)
    assert f"0 sessions synced, {len(STORIES)}" in await demo(system, person.key)

    assert before == await everything(shown)
