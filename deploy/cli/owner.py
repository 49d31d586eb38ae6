"""The first user and the first key: made when the system starts for the first time."""

import sys
from collections.abc import Awaitable, Callable

from deploy.cli.running import OWNER, connected
from shared import ids, subjects
from shared.broker import Bus
from shared.errors import Conflict
from shared.log import Log
from shared.requests import IssueApiKey, IssuedKey, RegisterUser


KEY_NAME = "first key"


def ensure_owner(owner_key: str) -> Callable[[str], Awaitable[str | None]]:
    """Make the function that registers the owner and returns the key if it is new."""

    async def owner(nats_url: str) -> str | None:
        async with connected(nats_url) as client:
            return await _ensured(Bus(client), Log(client), owner_key)

    return owner


async def _ensured(bus: Bus, log: Log, owner_key: str) -> str | None:
    user = ids.user_id(OWNER)
    await bus.answer(RegisterUser(name=OWNER))
    before = await _issued(log)
    if before and not owner_key:
        return None
    command = IssueApiKey(user=user, name=KEY_NAME, key=owner_key or None)
    try:
        issued: IssuedKey = await bus.answer(command)
    except Conflict as refusal:
        sys.stderr.write(f"OPENSYNC_OWNER_KEY: {refusal}\n")
        return None
    return issued.key if issued.seq not in before else None


async def _issued(log: Log) -> set[int]:
    """Say where in the log the owner's keys were issued."""
    issued = subjects.stored("ApiKeyIssued", ids.user_id(OWNER))
    return {stored.seq async for stored in log.read(issued)}
