"""When a key was last used: one event an hour at most, written behind the request."""

import asyncio
from uuid import UUID, uuid4

import structlog

from services.gateway.keyring import Key
from shared.errors import ServiceError
from shared.events import ApiKeyUsed
from shared.log import Entry, Log


log = structlog.get_logger()

HOUR_MS = 3_600_000


class Usage:
    """Remembers, per process, when each key's use was last written down."""

    def __init__(self, events: Log) -> None:
        self._log = events
        self._noted: dict[UUID, int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, key: Key, now: int) -> None:
        """Write that the key was used, unless that was written within the hour."""
        if now - self._noted.get(key.id, 0) < HOUR_MS:
            return
        self._noted[key.id] = now
        task = asyncio.create_task(self._write(key, now))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key: Key, now: int) -> None:
        entry = Entry(
            event=ApiKeyUsed(key_id=key.id),
            user=key.user,
            session=None,
            time=now,
            correlation_id=uuid4().hex,
        )
        try:
            await self._log.append(entry)
        except ServiceError as error:
            self._noted.pop(key.id, None)
            log.warning("usage.unwritten", reason=str(error))

    async def settled(self) -> None:
        """Wait until nothing is being written."""
        await asyncio.gather(*self._writing)
