"""What changes, as it changes: announcements of the projections, dealt to each user.

An event's id names this hub and counts its announcements. A client that comes back
with an id of ours gets exactly what it missed; one whose gap we cannot fill, because
it is too old or another process counted it, is told to fetch everything again.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared import subjects
from shared.errors import TooManyRequests


RING = 2000
QUEUE = 100
STREAMS_PER_USER = 50
HEARTBEAT_S = 15.0
WATCH_S = 0.25
HEARTBEAT = b": still here\n\n"
RETRY_MS = 1000
END = b""


@dataclass(frozen=True, slots=True)
class _News:
    number: int
    user: UUID
    text: bytes


@dataclass(eq=False, slots=True)
class _Listener:
    """A connection's own queue; when it is full, it is emptied for a `refresh`."""

    queue: deque[bytes] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    def put(self, text: bytes, refresh: bytes) -> None:
        if len(self.queue) >= QUEUE:
            self.queue.clear()
            text = refresh
        self.queue.append(text)
        self.arrived.set()

    def end(self) -> None:
        self.is_over = True
        self.arrived.set()

    async def next(self) -> bytes:
        """Return what is next, a heartbeat when nothing is, END when it is over."""
        if not self.queue and not self.is_over:
            self.arrived.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self.arrived.wait()
            except TimeoutError:
                return HEARTBEAT
        return self.queue.popleft() if self.queue else END


class Hub:
    """One subscription per process, and the streams of its users."""

    def __init__(self) -> None:
        self._id = uuid4().hex[:12]
        self._count = 0
        self._ring: deque[_News] = deque(maxlen=RING)
        self._listeners: defaultdict[UUID, set[_Listener]] = defaultdict(set)

    async def listen(self, client: Client) -> None:
        """Hear announcements until cancelled; after an outage, everyone refreshes."""
        await client.subscribe(subjects.LIVE_ALL, cb=self._heard)
        outages = client.stats["reconnects"]
        while True:
            await asyncio.sleep(WATCH_S)
            if client.stats["reconnects"] != outages:
                outages = client.stats["reconnects"]
                self.forget()

    async def _heard(self, message: Msg) -> None:
        self.announce(UUID(message.subject.rpartition(".")[2]), message.data)

    def announce(self, user: UUID, news: bytes) -> None:
        """Deal one announcement to the user's streams, and remember it."""
        self._count += 1
        text = self._event("changed", news)
        self._ring.append(_News(self._count, user, text))
        for listener in self._listeners.get(user, ()):
            listener.put(text, self._refresh())

    def forget(self) -> None:
        """Make everyone fetch everything again: announcements may have been lost."""
        self._count += 1
        self._ring.clear()
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.put(self._refresh(), self._refresh())

    def stream(
        self, user: UUID, *, last_id: str | None, is_welcome: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Listen from the greeting on; TooManyRequests if the user has enough streams."""
        if len(self._listeners.get(user, ())) >= STREAMS_PER_USER:
            raise TooManyRequests(
                f"A user may have {STREAMS_PER_USER} live streams; close one first."
            )
        return self._deliver(user, last_id, is_welcome)

    async def _deliver(
        self, user: UUID, last_id: str | None, is_welcome: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        listener = _Listener()
        for text in self._missed(user, last_id):
            listener.put(text, self._refresh())
        self._listeners[user].add(listener)
        try:
            yield self._greeting()
            while is_welcome() and (text := await listener.next()) and is_welcome():
                yield text
        finally:
            self._listeners[user].discard(listener)
            if not self._listeners[user]:
                del self._listeners[user]

    def _missed(self, user: UUID, last_id: str | None) -> list[bytes]:
        if last_id is None:
            return []
        hub, _, number = last_id.partition("-")
        oldest = self._ring[0].number if self._ring else self._count + 1
        if hub != self._id or not number.isdecimal() or int(number) < oldest - 1:
            return [self._refresh()]
        return [n.text for n in self._ring if n.user == user and n.number > int(number)]

    def _greeting(self) -> bytes:
        """Say where the stream begins, so that a reconnect misses nothing."""
        return f"retry: {RETRY_MS}\nid: {self._id}-{self._count}\n\n".encode()

    def _refresh(self) -> bytes:
        return self._event("refresh", b"{}")

    def _event(self, kind: str, data: bytes) -> bytes:
        head = f"id: {self._id}-{self._count}\nevent: {kind}\ndata: "
        return head.encode() + data.replace(b"\n", b" ") + b"\n\n"

    def close(self) -> None:
        """End every stream, so that the process can stop."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.end()


class Announcement(msgspec.Struct, frozen=True):
    """The data of a `changed` event: refetch these sessions."""

    projection: str
    seq: int
    sessions: list[str]
    more: bool = False
    """There were more sessions than are listed."""
