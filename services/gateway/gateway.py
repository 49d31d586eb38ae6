"""What every route works with: the log, the bus, the keys; and who may come in."""

from asyncio import Semaphore
from dataclasses import dataclass, field
from typing import Any, cast

from litestar import Request, Response
from litestar.datastructures import State

from services.gateway.erasure import Eraser
from services.gateway.front import REQUEST_ID
from services.gateway.handlers import Accounts, now_ms
from services.gateway.keyring import Key, Keyring
from services.gateway.keys import PREFIX, hashed
from services.gateway.live import Hub
from services.gateway.queries import Directory
from services.gateway.ratelimit import RateLimit
from services.gateway.recent import Recent
from services.gateway.tickets import Tickets
from services.gateway.usage import Usage
from shared.broker import Bus
from shared.errors import NotAuthenticated, NotPermitted
from shared.log import Log
from shared.requests import Scope


AnyRequest = Request[Any, Any, State]

BEARER = "bearer "
LARGE_AT_ONCE = 1
"""Batches of more than 8 MB; each takes several times its size while it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything a route may use, built once per process."""

    log: Log
    bus: Bus
    keyring: Keyring
    accounts: Accounts
    eraser: Eraser
    directory: Directory
    limit: RateLimit
    recent: Recent
    usage: Usage
    live: Hub
    tickets: Tickets
    version: str
    heavy: Semaphore = field(default_factory=lambda: Semaphore(LARGE_AT_ONCE))

    def admit(self, request: AnyRequest, scope: Scope | None) -> Key:
        """Say whose request this is; raises what the caller must hear instead."""
        key = self._key(request)
        return self.welcome(key, scope)

    def welcome(self, key: Key, scope: Scope | None) -> Key:
        """Check a known key's scope and pace, and note that it was used."""
        now = now_ms()
        if key.is_expired(now):
            raise NotAuthenticated("This API key has expired.")
        if scope and scope not in key.scopes:
            raise NotPermitted(f"This API key lacks the scope {scope!r}.")
        self.limit.take(key.id)
        self.usage.note(key, now)
        return key

    def _key(self, request: AnyRequest) -> Key:
        given = request.headers.get("authorization", "")
        if not given:
            raise NotAuthenticated("Missing Authorization header")
        token = given[len(BEARER) :].strip()
        if given[: len(BEARER)].lower() != BEARER or not token.startswith(PREFIX):
            raise NotAuthenticated("Invalid API key format")
        key = self.keyring.find(hashed(token))
        if key is None:
            raise NotAuthenticated("Invalid API key")
        return key


def gateway_of(request: AnyRequest) -> Gateway:
    return cast("Gateway", request.app.state["gateway"])


def correlation_of(request: AnyRequest) -> str:
    return cast("str", request.scope["state"][REQUEST_ID])


def json_answer(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")
