"""A steady pace of messages, and when each of them became readable.

A process of its own. Its messages are sent on a schedule, not when the last one is
answered; it hears on the live stream what the projection has committed, in the same
clock as the acknowledgements, and reads a share of the messages back with `?after=`.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from uuid import UUID

import msgspec
import uvloop

from bench.connection import Connection, Door
from bench.messages import Writer
from shared import ids


READ_EVERY = 10
"""Of so many messages, one is read back as a client would."""
HEARD_WITHIN_S = 10.0
OK = 200


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages a second, over how many connections, for how long."""

    url: str
    key: str
    user: UUID
    name: str
    rate: float
    connections: int
    seconds: float


class Readable(msgspec.Struct, kw_only=True):
    """Milliseconds from the acknowledgement of each message, and from its POST."""

    told_ms: list[float] = []
    """Until the live stream named its session at its place in the log or later."""
    read_ms: list[float] = []
    """Until `GET …?after=<seq>`, begun at once, had answered with it."""
    posted_ms: list[float] = []
    """From the POST's beginning until that answer."""
    failed: int = 0
    unheard: int = 0


class News(msgspec.Struct, frozen=True):
    projection: str
    seq: int
    sessions: list[str]
    more: bool = False


class Saved(msgspec.Struct, frozen=True, rename="camel"):
    seq: int


_news = msgspec.json.Decoder(News).decode
_saved = msgspec.json.Decoder(Saved).decode


class Ears:
    """Hears announcements, and when an announcement covers a message."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[tuple[int, float]]] = {}
        self.told: list[tuple[str, int, float]] = []

    async def listen(self, door: Door, outcome: Readable) -> None:
        reader, writer = await asyncio.open_connection(door.host, door.port)
        writer.write(door.get("/api/live", accept="text/event-stream"))
        with suppress(asyncio.IncompleteReadError):
            while True:
                line = await reader.readuntil(b"\n")
                if line.startswith(b"data: {"):
                    self.hear(_news(line[6:]), monotonic(), outcome)

    def hear(self, news: News, at: float, outcome: Readable) -> None:
        if news.projection.startswith("ingest"):
            for session in self.waiting if news.more else news.sessions:
                self.told.append((session, news.seq, at))
                self._settle(session, news.seq, at, outcome)

    def expect(self, session: str, seq: int, acknowledged: float, to: Readable) -> None:
        """Note an acknowledgement; the announcement may have been faster."""
        for told, upto, at in reversed(self.told[-200:]):
            if told == session and upto >= seq:
                to.told_ms.append(max(0.0, (at - acknowledged) * 1000))
                return
        self.waiting.setdefault(session, []).append((seq, acknowledged))

    def _settle(self, session: str, upto: int, at: float, outcome: Readable) -> None:
        left = []
        for seq, acknowledged in self.waiting.get(session, ()):
            if seq <= upto:
                outcome.told_ms.append((at - acknowledged) * 1000)
            else:
                left.append((seq, acknowledged))
        self.waiting[session] = left

    @property
    def unheard(self) -> int:
        return sum(map(len, self.waiting.values()))


class Client:
    """One connection's share of the messages."""

    def __init__(self, pace: Pace, number: int, ears: Ears, outcome: Readable) -> None:
        self._pace = pace
        self._number = number
        self._ears = ears
        self._outcome = outcome
        self._door = Door.at(pace.url, pace.key)
        self._writer = Writer(f"{pace.name}-{number}")

    async def run(self, began: float) -> None:
        connection = await Connection.to(self._door)
        for at in self._moments(began):
            await asyncio.sleep(max(0.0, at - monotonic()))
            await self._send(connection)
        connection.close()

    def _moments(self, began: float) -> Iterator[float]:
        gap = self._pace.connections / self._pace.rate
        at = began + gap * self._number / self._pace.connections
        while at < began + self._pace.seconds:
            yield at
            at += gap

    async def _send(self, connection: Connection) -> None:
        session, body = self._writer.message()
        posted = monotonic()
        status, answer = await connection.ask(self._door.post("/sync/message", body))
        acknowledged = monotonic()
        if status != OK:
            self._outcome.failed += 1
            return
        seq = _saved(answer).seq
        ours = str(ids.session_id(self._pace.user, session))
        self._ears.expect(ours, seq, acknowledged, self._outcome)
        if seq % READ_EVERY == 0:
            path = f"/api/sessions/{session}?after={seq}&limit=1"
            await connection.ask(self._door.get(path))
            read = monotonic()
            self._outcome.read_ms.append((read - acknowledged) * 1000)
            self._outcome.posted_ms.append((read - posted) * 1000)


async def perform(pace: Pace) -> Readable:
    outcome = Readable(told_ms=[], read_ms=[], posted_ms=[])
    ears = Ears()
    listening = asyncio.create_task(ears.listen(Door.at(pace.url, pace.key), outcome))
    began = monotonic() + 0.2
    numbers = range(pace.connections)
    clients = [Client(pace, number, ears, outcome) for number in numbers]
    await asyncio.gather(*(client.run(began) for client in clients))
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARD_WITHIN_S):
            while ears.unheard:
                await asyncio.sleep(0.05)
    outcome.unheard = ears.unheard
    listening.cancel()
    return outcome


async def paced(pace: Pace) -> Readable:
    """Run it as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.pace",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(msgspec.json.encode(pace))
    if process.returncode:
        raise RuntimeError("the paced load failed")
    return msgspec.json.decode(out, type=Readable)


def main() -> None:
    pace = msgspec.json.decode(sys.stdin.buffer.read(), type=Pace)
    outcome = uvloop.run(perform(pace))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
