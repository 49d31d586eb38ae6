"""The whole running system, once; users of their own for every test."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from deploy.local import System, running
from shared.broker import Bus
from shared.connection import connect_nats, drain
from shared.requests import SCOPES, IssueApiKey, IssuedKey, RegisterUser, Scope
from shared.settings import Settings
from tests.e2e.claude_code import ClaudeCodeSync, installed


_names = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user with a key, and an HTTP client that bears it."""

    id: UUID
    key: str
    api: httpx.AsyncClient


NewPerson = Callable[..., Awaitable[Person]]


@pytest.fixture(scope="session")
async def system() -> AsyncIterator[System]:
    settings = Settings(rate_limit=1_000_000, log_level="info")
    async with running(settings) as system:
        yield system


@pytest.fixture(scope="session")
async def bus(system: System) -> AsyncIterator[Bus]:
    client = await connect_nats(system.run.nats_url, name="e2e")
    yield Bus(client)
    await drain(client)


@pytest.fixture
async def new_person(system: System, bus: Bus) -> AsyncIterator[NewPerson]:
    """Make a user that no other test knows."""
    async with AsyncExitStack() as afterwards:

        async def make(scopes: tuple[Scope, ...] = SCOPES) -> Person:
            name = f"person-{next(_names)}-{uuid4().hex[:6]}"
            user = UUID((await bus.answer(RegisterUser(name=name))).id)
            command = IssueApiKey(user=user, name="e2e", scopes=scopes)
            issued: IssuedKey = await bus.answer(command)
            api = httpx.AsyncClient(
                base_url=system.run.url,
                headers={"Authorization": f"Bearer {issued.key}"},
                timeout=20,
            )
            await afterwards.enter_async_context(api)
            return Person(id=user, key=issued.key, api=api)

        yield make


@pytest.fixture
async def person(new_person: NewPerson) -> Person:
    return await new_person()


@pytest.fixture
async def api(person: Person) -> httpx.AsyncClient:
    return person.api


@pytest.fixture
async def stranger(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """Someone without a key."""
    async with httpx.AsyncClient(base_url=system.run.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
async def claude_code_sync_cli() -> Path:
    return await asyncio.to_thread(installed)


@pytest.fixture
def claude_code_sync(
    claude_code_sync_cli: Path, system: System, person: Person, tmp_path: Path
) -> ClaudeCodeSync:
    """Claude Code's plugin as published, configured through its environment."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAUDE_SYNC_CONVEX_URL": system.run.url,
        "CLAUDE_SYNC_API_KEY": person.key,
    }
    return ClaudeCodeSync(cli=claude_code_sync_cli, home=home, environ=environ)
