"""The front door: paths made plain, CORS answered, a request id and safe headers set.

A thin ASGI layer around the routes, so that it also holds for their errors.
"""

import asyncio
import re
from contextlib import suppress
from typing import cast
from uuid import uuid4

from litestar.enums import HttpMethod, ScopeType
from litestar.status_codes import HTTP_400_BAD_REQUEST
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)


PREFIXES = ("/.convex.site", "/convex.site")
"""Base URLs that the plugins' login insists on."""

METHODS = b"GET, POST, PATCH, PUT, DELETE, OPTIONS"
HEADERS = b"Authorization, Content-Type, Last-Event-ID, X-Request-Id"
EXPOSED = b"X-Request-Id, Content-Disposition, Retry-After"
MAX_AGE = b"86400"
CSP = (
    b"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    b" img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
DRAIN_S = 5.0
DRAIN_BYTES = 256 * 2**20

REQUEST_ID = "opensync.request_id"

_SLASHES = re.compile("/{2,}")
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

Headers = list[tuple[bytes, bytes]]


class Front:
    """Wraps the application; `origins` is `*` or a comma-separated list."""

    def __init__(self, app: ASGIApp, *, origins: str) -> None:
        self._app = app
        named = [origin.strip().rstrip("/") for origin in origins.split(",")]
        self._origins = {origin.encode() for origin in named if origin}
        self._is_open = b"*" in self._origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        added = self._cors(headers.get(b"origin"))
        if scope["method"] == "OPTIONS":
            await _preflight(send, added)
            return
        if scope["method"] == "HEAD":
            scope["method"] = HttpMethod.GET  # the server leaves the body out
        _plain(scope)
        request_id = _request_id(headers.get(b"x-request-id"))
        scope["state"][REQUEST_ID] = request_id
        added += [(b"x-request-id", request_id.encode()), *SAFE]

        body = _Body(receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= HTTP_400_BAD_REQUEST:
                    await body.drain()
                given = list(message["headers"])
                csp = [(b"content-security-policy", CSP)] if _is_html(given) else []
                message["headers"] = [*given, *csp, *added]
            await send(message)

        await self._app(scope, body.receive, send_with_headers)

    def _cors(self, origin: bytes | None) -> Headers:
        if self._is_open:
            allowed: Headers = [(b"access-control-allow-origin", b"*")]
        elif origin in self._origins:
            allowed = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        else:
            return [(b"vary", b"Origin")]
        return [*allowed, (b"access-control-expose-headers", EXPOSED)]


class _Body:
    """A request's body: whoever refuses it must still take it.

    A client that is still sending does not listen, and loses the answer when the
    connection is closed on what it sends.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def receive(self) -> HTTPReceiveMessage:
        message = cast("HTTPReceiveMessage", await self._receive())
        if message["type"] == "http.disconnect" or not message["more_body"]:
            self._is_over = True
        return message

    async def drain(self) -> None:
        """Read what is left, as long as that is reasonable."""
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._is_over and size < DRAIN_BYTES:
                    message = await self.receive()
                    if message["type"] == "http.request":
                        size += len(message["body"])


async def _preflight(send: Send, added: Headers) -> None:
    headers = [
        *added,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", HEADERS),
        (b"access-control-max-age", MAX_AGE),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _plain(scope: HTTPScope) -> None:
    """Collapse doubled slashes and take off the prefixes that plugins put before."""
    path = scope["path"]
    if "//" in path:
        path = _SLASHES.sub("/", path)
    for prefix in PREFIXES:
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
            path = path[len(prefix) :] or "/"
    if path != scope["path"]:
        scope["path"] = path
        scope["raw_path"] = path.encode()


def _request_id(given: bytes | None) -> str:
    if given and _SANE_ID.fullmatch(given):
        return given.decode()
    return uuid4().hex


def _is_html(headers: Headers) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html")
        for name, value in headers
    )
