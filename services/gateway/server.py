"""HTTP: the routes behind the front door, served by Granian until told to stop."""

import asyncio

from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from litestar.datastructures import State

from services.gateway import errors
from services.gateway.front import Front
from services.gateway.gateway import Gateway
from services.gateway.openapi import configuration
from services.gateway.routes import (
    account,
    admin,
    decisions,
    docs,
    exports,
    health,
    live,
    metrics,
    sessions,
    sync,
)
from shared.settings import Settings


BACKPRESSURE = 4096
"""Connections at once, live streams among them."""
GRACE_S = 5.0
"""For requests that are being answered when we are told to stop."""


def create_app(gateway: Gateway, *, origins: str = "*") -> Front:
    """Put the routes behind the front door."""
    routes = (account, admin, decisions, docs, exports, live, metrics, sessions, sync)
    app = Litestar(
        [health.health, *(route for module in routes for route in module.ROUTES)],
        state=State({"gateway": gateway}),
        exception_handlers=errors.HANDLERS,
        openapi_config=configuration(gateway.version),
        request_max_body_size=None,
        logging_config=None,
    )
    return Front(app, origins=origins)


async def serve(gateway: Gateway, settings: Settings) -> None:
    """Answer HTTP until cancelled; live streams are ended so that nothing hangs."""
    server = Server(
        create_app(gateway, origins=settings.cors_origins),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        backpressure=BACKPRESSURE,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        gateway.live.close()
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait([serving], timeout=GRACE_S)
        raise
    raise RuntimeError("the HTTP server ended by itself")
