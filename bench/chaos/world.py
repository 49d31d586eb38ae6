"""A system to be broken: its users, more processes beside it, and its state."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import psutil
from nats.aio.client import Client

from bench.connection import Door
from deploy.local import SERVICES, System, running
from deploy.local.logs import log_path
from deploy.local.ports import free_port
from deploy.local.process import Process
from deploy.local.services import programs
from shared.broker import Bus
from shared.connection import connect_nats, drain
from shared.requests import SCOPES, IssueApiKey, IssuedKey, RegisterUser
from shared.settings import PREFIX, Settings


PARTS = ("nats", "postgres", "ingest", "gateway")
SETTLED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
OK = 200


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a key for the front door."""

    id: UUID
    key: str


@dataclass(slots=True)
class Busy:
    """Which share of a core each process took while something was away."""

    shares: dict[str, float] = field(default_factory=dict)
    fallen: list[str] = field(default_factory=list)
    """Processes that the outage of another one ended."""


@dataclass(frozen=True, slots=True)
class World:
    """A running system and a way to speak with it."""

    system: System
    client: Client
    api: httpx.AsyncClient
    environ: Mapping[str, str]
    """For the processes beside it; nothing of ours is in it."""

    async def person(self) -> Person:
        """Make a user that no other fault has written for."""
        bus = Bus(self.client)
        name = f"chaos-{uuid4().hex[:12]}"
        user = UUID((await bus.answer(RegisterUser(name=name))).id)
        command = IssueApiKey(user=user, name="chaos", scopes=SCOPES)
        issued: IssuedKey = await bus.answer(command)
        await self.opens(self.system.run.url, issued.key)
        return Person(user, issued.key)

    async def opens(self, url: str, key: str) -> None:
        """Wait until a door knows a key."""
        headers = {"Authorization": f"Bearer {key}"}
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while True:
                try:
                    if (
                        await self.api.get(f"{url}/api/me", headers=headers)
                    ).status_code == OK:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(LOOK_EVERY_S)

    async def settled(self, *, workers: int = 1) -> float:
        """Wait until all is well and nothing lags; say how long that took."""
        began, said = monotonic(), "nothing"
        while monotonic() - began < SETTLED_WITHIN_S:
            said = await self._complaint(workers)
            if not said:
                return monotonic() - began
            await asyncio.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"needs a hand after {SETTLED_WITHIN_S:.0f} s: {said}")

    async def _complaint(self, workers: int) -> str:
        if set(self.system.run.pids) != set(PARTS):
            return f"only {sorted(self.system.run.pids)} run"
        try:
            answer = await self.api.get(f"{self.system.run.url}/health")
        except httpx.HTTPError as error:
            return repr(error)
        told: dict[str, Any] = answer.json()
        if answer.status_code != OK or told["status"] != "ok":
            return f"health says {answer.status_code} {told}"
        for name, state in told["projections"].items():
            wanted = workers if name == "ingest" else 1
            if state == "away" or not _is_well(state, wanted):
                return f"{name}: {state}"
        return ""

    @asynccontextmanager
    async def beside(
        self, service: str, name: str, *, environ: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[Process, str]]:
        """Run one more process of a service until the block ends; yield it and its URL."""
        port = free_port()
        settings = msgspec.structs.replace(self.system.settings, port=port)
        given = {**self.environ, **(environ or {})}
        (program,) = [
            each for each in programs(SERVICES, settings, given) if each.name == service
        ]
        process = Process(
            replace(program, name=name),
            log_file=log_path(settings.data_dir, name),
            on_start=lambda: None,
        )
        process.start()
        try:
            yield process, f"http://{settings.host}:{port}"
        finally:
            await process.stop()

    def door(self, person: Person, url: str | None = None) -> Door:
        return Door.at(url or self.system.run.url, person.key)

    @contextmanager
    def measured(self, *, without: str) -> Iterator[Busy]:
        """Measure the processor time of every process but the one that is away."""
        busy = Busy()
        pids = {k: v for k, v in self.system.run.pids.items() if k != without}
        began, before = monotonic(), {name: _spent(pid) for name, pid in pids.items()}
        yield busy
        for name, pid in pids.items():
            if self.system.run.pids.get(name) != pid:
                busy.fallen.append(name)
                continue
            used = _spent(pid) - before[name]
            busy.shares[name] = used / (monotonic() - began)

    def send(self, name: str, number: signal.Signals) -> None:
        """Signal a process and all its children; Postgres's lead sessions of their own."""
        for process in tree(self.system.run.pids[name]):
            process.send_signal(number)


@asynccontextmanager
async def world(
    environ: Mapping[str, str], *, data_dir: Path | None = None
) -> AsyncIterator[World]:
    """Run a system until the block ends."""
    clean = {k: v for k, v in environ.items() if not k.startswith(PREFIX)}
    settings = Settings(rate_limit=1_000_000, log_level="info")
    async with (
        running(settings, data_dir=data_dir) as system,
        httpx.AsyncClient(timeout=20) as api,
    ):
        client = await connect_nats(system.run.nats_url, name="chaos")
        try:
            yield World(system, client, api, clean)
        finally:
            await drain(client)


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _is_well(state: dict[str, Any], workers: int) -> bool:
    """Tell whether a projection is complete, undisturbed and worked on."""
    blocked = state["deadLetters"] + state["blockedSessions"]
    return bool(state["lag"] == 0 and blocked == 0 and state["workers"] == workers)


def _spent(pid: int) -> float:
    """Add up the processor time of a process, its children and those that have ended."""
    total = 0.0
    for process in tree(pid):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
