"""A load that remembers: what was sent, and what the system said it had kept."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bench.connection import Connection, Door


SINGLES = 6
BATCHES = 2
BATCH_SIZE = 10
SESSION_SIZE = 60
SHARED = ("shared-0", "shared-1", "shared-2")
ANSWER_WITHIN_S = 25.0
BRISK_S = 0.05
SLOW_S = 1.0
LOOK_EVERY_S = 0.02
OK, UNAVAILABLE = 200, 503

Name = tuple[str, str]
"""A session's and a message's own ids, as the client gives them."""


@dataclass(slots=True)
class Memory:
    """What happened, from the clients' point of view."""

    sent: dict[Name, str] = field(default_factory=dict)
    acknowledged: set[Name] = field(default_factory=set)
    receipts: list[tuple[int, str]] = field(default_factory=list)
    """The place in the log that was told for a message, and its hash."""
    failures: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    """Answers that no outage excuses."""
    pace: float = BRISK_S
    """Each writer's pause between two requests; slow, while processor time is measured."""

    async def grows_by(self, number: int, *, within: float) -> float:
        """Wait until so many more messages are acknowledged; say how long it took."""
        loop = asyncio.get_running_loop()
        began, enough = loop.time(), len(self.acknowledged) + number
        async with asyncio.timeout(within):
            while len(self.acknowledged) < enough:
                await asyncio.sleep(LOOK_EVERY_S)
        return loop.time() - began

    def message(self, writer: str, number: int) -> dict[str, Any]:
        """Make a message; every third goes to a session that all writers share."""
        own = f"{writer}-{number // SESSION_SIZE}"
        session = own if number % 3 else SHARED[number % len(SHARED)]
        text = f"{writer} says {number}: {'well ' * (number % 40)}"
        name = (session, f"{writer}-m{number}")
        self.sent[name] = text
        return {
            "sessionExternalId": session,
            "externalId": name[1],
            "role": "user" if number % 2 else "assistant",
            "textContent": text,
        }

    def take(self, told: dict[str, Any], messages: Sequence[dict[str, Any]]) -> None:
        """Remember an acknowledgement."""
        self.refusals += told.get("errors", [])
        if "hash" in told:
            self.receipts.append((told["seq"], told["hash"]))
        self.acknowledged.update(
            (one["sessionExternalId"], one["externalId"]) for one in messages
        )


def spelled(door: Door, messages: Sequence[dict[str, Any]]) -> bytes:
    """Write the request that syncs one message, or several at once."""
    if len(messages) == 1:
        return door.post("/sync/message", json.dumps(messages[0]).encode())
    body = json.dumps({"messages": list(messages)})
    return door.post("/sync/batch", body.encode())


@dataclass(slots=True)
class Writer:
    """One connection that syncs messages, and opens another when it breaks."""

    name: str
    door: Door
    memory: Memory
    is_over: asyncio.Event
    size: int
    repeats: bool
    """Whether it sends what was not acknowledged again, as a careful client does."""
    connection: Connection | None = None

    async def run(self) -> None:
        for first in count(0, self.size):
            numbers = range(first, first + self.size)
            await self._deliver([self.memory.message(self.name, n) for n in numbers])
            if self.is_over.is_set():
                break
        self._hang_up()

    async def _deliver(self, messages: list[dict[str, Any]]) -> None:
        request = spelled(self.door, messages)
        while not await self._attempt(request, messages):
            await asyncio.sleep(self.memory.pace)
            if not self.repeats or self.is_over.is_set():
                return
        await asyncio.sleep(self.memory.pace)

    async def _attempt(self, request: bytes, messages: list[dict[str, Any]]) -> bool:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                if self.connection is None:
                    self.connection = await Connection.to(self.door)
                status, body = await self.connection.ask(request)
        except (OSError, TimeoutError) as error:
            self.memory.failures[type(error).__name__] += 1
            self._hang_up()
            return False
        if status == OK:
            self.memory.take(json.loads(body), messages)
            return True
        self.memory.failures[str(status)] += 1
        if status != UNAVAILABLE:
            self.memory.refusals.append(f"{status} {body[:300]!r}")
        return False

    def _hang_up(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None


class Load:
    """All the writers at one door; enter it to let them loose."""

    def __init__(self, door: Door, memory: Memory) -> None:
        self._is_over = asyncio.Event()
        singles = [(f"s{number}", 1) for number in range(SINGLES)]
        batches = [(f"b{number}", BATCH_SIZE) for number in range(BATCHES)]
        self._writers = [
            Writer(name, door, memory, self._is_over, size, repeats=number % 2 == 0)
            for number, (name, size) in enumerate([*singles, *batches])
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(writer.run()) for writer in self._writers]

    async def __aexit__(self, *_: object) -> None:
        self._is_over.set()
        await asyncio.gather(*self._tasks)
