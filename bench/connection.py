"""One keep-alive HTTP/1.1 connection, written by hand so that it costs next to nothing.

A client library would take more of the two cores than the server it measures.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


class ConnectionEnded(ConnectionError):
    """The other side went away before it had answered in full."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where to knock, and with which key."""

    host: str
    port: int
    key: str

    @classmethod
    def at(cls, url: str, key: str) -> "Door":
        place = urlsplit(url)
        return cls(place.hostname or "127.0.0.1", place.port or 80, key)

    def get(self, path: str, *, accept: str = "*/*") -> bytes:
        """Spell out a GET request."""
        return self._head("GET", path, {"Accept": accept}) + b"\r\n"

    def post(self, path: str, body: bytes) -> bytes:
        """Spell out a POST request with a JSON body."""
        headers = {"Content-Type": "application/json", "Content-Length": len(body)}
        return self._head("POST", path, headers) + b"\r\n" + body

    def _head(self, method: str, path: str, headers: Mapping[str, object]) -> bytes:
        given = {
            "Host": f"{self.host}:{self.port}",
            "Authorization": f"Bearer {self.key}",
            **headers,
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
        return "".join(f"{line}\r\n" for line in lines).encode()


class _Answers(asyncio.Protocol):
    """Collects one answer at a time: a status, and a body of a known length."""

    def __init__(self) -> None:
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.is_open = True
        self._held = b""
        self._need = 0

    def data_received(self, data: bytes) -> None:
        self._held += data
        if len(self._held) < self._need:
            return
        head, found, body = self._held.partition(b"\r\n\r\n")
        if not found:
            return
        length = _length(head)
        if len(body) < length:
            self._need = len(head) + len(found) + length
            return
        self._held, self._need = b"", 0
        if self.waiting and not self.waiting.done():
            self.waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, _: Exception | None) -> None:
        self.is_open = False
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(ConnectionEnded("no answer"))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ConnectionEnded("an answer without a length")


class Connection:
    """Sends a request, waits for its answer, and may be used again."""

    def __init__(self, transport: asyncio.Transport, answers: _Answers) -> None:
        self._transport = transport
        self._answers = answers

    @classmethod
    async def to(cls, door: Door) -> "Connection":
        loop = asyncio.get_running_loop()
        return cls(*await loop.create_connection(_Answers, door.host, door.port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body; ConnectionError if the other side goes away."""
        if not self._answers.is_open:
            raise ConnectionEnded("closed")
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._answers.waiting = waiting
        self._transport.write(request)
        return await waiting

    def close(self) -> None:
        self._transport.abort()
