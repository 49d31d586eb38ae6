"""The one way to connect to NATS: reconnects for ever, and says so when it is away."""

import structlog
from nats import connect
from nats.aio.client import Client

from shared.errors import Unavailable


log = structlog.get_logger()

OUTBOUND_BYTES = 32 * 2**20


async def connect_nats(url: str, *, name: str) -> Client:
    """Connect, and keep reconnecting until closed.

    `pending_size` bounds what is held back while the server is away; two seconds
    between attempts would cost plugins their message, so we try ten times a second.
    """

    async def disconnected() -> None:
        log.warning("nats.disconnected", connection=name)

    async def reconnected() -> None:
        log.info("nats.reconnected", connection=name)

    async def failed(error: Exception) -> None:
        log.warning("nats.failed", connection=name, error=repr(error))

    return await connect(
        url,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        ping_interval=15,
        connect_timeout=2,
        pending_size=OUTBOUND_BYTES,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        error_cb=failed,
        inbox_prefix=b"_INBOX",
    )


async def drain(client: Client) -> None:
    """Close a connection politely, whatever state it is in."""
    if client.is_connected:
        await client.drain()
    else:
        await client.close()


def unavailable(what: str) -> Unavailable:
    return Unavailable(f"{what} cannot be reached at the moment; try again shortly.")
