"""Asks a service over the log whether it is well: for those without a port.

Any process of the service may answer: this says that the service works, and the
engine says itself whether this process still runs.
"""

import asyncio

from nats import connect

from shared.broker import Bus
from shared.requests import AskReady


PATIENCE_S = 5.0


async def ask(service: str, nats_url: str) -> None:
    """Return if it answers in time; raises otherwise."""
    async with asyncio.timeout(PATIENCE_S):
        client = await connect(
            nats_url,
            name="opensync-healthy",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=_quiet,
        )
        try:
            await Bus(client).answer(AskReady(), service=service)
        finally:
            await client.close()


async def _quiet(_: Exception) -> None:
    """Say nothing: what went wrong is raised as well."""
