"""A load that remembers: what was sent, and what the system said it had kept."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bench.connection import Connection, Door


SINGLES = 8
BATCHES = 3
BATCH_SIZE = 20
SESSION_SIZE = 60
SHARED = ("shared-0", "shared-1", "shared-2")
ANSWER_WITHIN_S = 25.0
PAUSE_S = 0.02
UNAVAILABLE = 503
OK = 200

Name = tuple[str, str]
"""A session's and a message's own ids, as the client gives them."""


@dataclass(slots=True)
class Memory:
    """What happened, from the client's point of view."""

    sent: dict[Name, str] = field(default_factory=dict)
    acknowledged: set[Name] = field(default_factory=set)
    receipts: dict[Name, tuple[int, str]] = field(default_factory=dict)
    """Of single messages: the last place in the log that was told, and its hash."""
    failures: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    """Answers that no outage excuses."""

    async def grows_by(self, number: int, *, within: float) -> None:
        """Wait until so many more messages are acknowledged."""
        enough = len(self.acknowledged) + number
        async with asyncio.timeout(within):
            while len(self.acknowledged) < enough:
                await asyncio.sleep(PAUSE_S)


@dataclass(slots=True)
class Writer:
    """One connection that syncs messages, and opens another when it breaks."""

    name: str
    door: Door
    memory: Memory
    is_over: asyncio.Event
    repeats: bool
    """Whether it sends what was not acknowledged again, as a careful client does."""
    connection: Connection | None = None

    async def run(self, size: int) -> None:
        for messages in self._messages(size):
            await self._deliver(messages)
            if self.is_over.is_set():
                break
        if self.connection:
            self.connection.close()

    def _messages(self, size: int) -> Iterator[list[dict[str, Any]]]:
        for first in count(0, size):
            yield [self._message(number) for number in range(first, first + size)]

    def _message(self, number: int) -> dict[str, Any]:
        """Every third message goes to a session that all writers share."""
        own = f"{self.name}-{number // SESSION_SIZE}"
        session = own if number % 3 else SHARED[number % len(SHARED)]
        text = f"{self.name} says {number}: {'well ' * (number % 40)}"
        message = {
            "sessionExternalId": session,
            "externalId": f"{self.name}-m{number}",
            "role": "user" if number % 2 else "assistant",
            "textContent": text,
        }
        self.memory.sent[session, message["externalId"]] = text
        return message

    async def _deliver(self, messages: list[dict[str, Any]]) -> None:
        single = len(messages) == 1
        body = json.dumps(messages[0] if single else {"messages": messages})
        path = "/sync/message" if single else "/sync/batch"
        request = self.door.post(path, body.encode())
        while not await self._attempt(request, messages):
            await asyncio.sleep(PAUSE_S)
            if not self.repeats or self.is_over.is_set():
                return

    async def _attempt(self, request: bytes, messages: list[dict[str, Any]]) -> bool:
        try:
            status, body = await self._ask(request)
        except (OSError, TimeoutError) as error:
            self.memory.failures[type(error).__name__] += 1
            self._hang_up()
            return False
        if status == OK:
            self._note(json.loads(body), messages)
            return True
        self.memory.failures[str(status)] += 1
        if status != UNAVAILABLE:
            self.memory.refusals.append(f"{status} {body[:300]!r}")
        return False

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            if self.connection is None:
                self.connection = await Connection.to(self.door)
            return await self.connection.ask(request)

    def _hang_up(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def _note(self, told: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        names = [(m["sessionExternalId"], m["externalId"]) for m in messages]
        if told.get("errors"):
            self.memory.refusals += told["errors"]
        if "hash" in told:
            self.memory.receipts[names[0]] = (told["seq"], told["hash"])
        self.memory.acknowledged.update(names)


class Load:
    """All the writers; enter it to let them loose."""

    def __init__(self, door: Door) -> None:
        self.memory = Memory()
        self._is_over = asyncio.Event()
        singles = [(f"s{number}", 1) for number in range(SINGLES)]
        batches = [(f"b{number}", BATCH_SIZE) for number in range(BATCHES)]
        self._writers = [
            (Writer(name, door, self.memory, self._is_over, repeats), size)
            for number, (name, size) in enumerate([*singles, *batches])
            for repeats in (number % 2 == 0,)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Memory:
        self._tasks = [asyncio.create_task(w.run(n)) for w, n in self._writers]
        return self.memory

    async def __aexit__(self, *_: object) -> None:
        self._is_over.set()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks)
