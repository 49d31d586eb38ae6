"""Who may come in: every valid key in memory, kept current from the log.

It also knows what was erased, so that a late retry does not bring it back.

The ring follows the log itself, from its first event on and in order, so it cannot
miss a revocation; after any interruption it goes on behind the last event it saw.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.errors import ServiceError, Unavailable
from shared.events import (
    ApiKeyIssued,
    ApiKeyRevoked,
    Event,
    NewerVersion,
    Recorded,
    SessionDeleted,
    UserErased,
    UserRegistered,
    record,
)
from shared.log import Log
from shared.pump import Pump, Pumped, PumpLost


log = structlog.get_logger()

FOLLOWED = tuple(
    kind.__name__
    for kind in (
        UserRegistered,
        ApiKeyIssued,
        ApiKeyRevoked,
        SessionDeleted,
        UserErased,
    )
)
BATCH = 1000
WAIT_S = 0.5
RETRY_S = 0.2
PATIENCE_S = 2.0


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the door knows it."""

    id: UUID
    hash: str
    user: UUID
    name: str
    prefix: str
    scopes: frozenset[str]
    expires_at: int | None

    def is_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Keyring:
    """All keys that are not revoked, by the SHA-256 of the key."""

    def __init__(self) -> None:
        self._by_hash: dict[str, Key] = {}
        self._hashes: dict[UUID, str] = {}
        self._names: dict[UUID, str] = {}
        self._erased: set[UUID] = set()
        self._seq = 0
        self._log_identity = ""
        self._moved = asyncio.Condition()
        self._caught_up = asyncio.Event()

    def find(self, hash_: str) -> Key | None:
        return self._by_hash.get(hash_)

    def holds(self, key: Key, now: int) -> bool:
        """Say whether a key that was good before still is."""
        return self._by_hash.get(key.hash) == key and not key.is_expired(now)

    def is_erased(self, entity: UUID) -> bool:
        """Say whether a session or user is gone for good."""
        return entity in self._erased

    def name_of(self, user: UUID) -> str:
        return self._names.get(user, "")

    def fold(self, fact: Recorded[Event]) -> None:
        """Apply one event."""
        match fact.event:
            case UserRegistered(name=name):
                self._names[fact.user] = name
            case ApiKeyIssued() as issued:
                self._hashes[issued.key_id] = issued.hash
                self._by_hash.setdefault(issued.hash, _key(fact.user, issued))
            case ApiKeyRevoked(key_id=key_id):
                self._revoke(fact.user, key_id)
            case SessionDeleted():
                self._erased.add(fact.session or fact.user)
            case UserErased():
                self._erase(fact.user)
        self._seq = max(self._seq, fact.seq)

    def _revoke(self, user: UUID, key_id: UUID) -> None:
        hash_ = self._hashes.get(key_id, "")
        key = self._by_hash.get(hash_)
        if key and key.id == key_id and key.user == user:
            del self._by_hash[hash_]

    def _erase(self, user: UUID) -> None:
        self._erased.add(user)
        self._names.pop(user, None)
        for key in [key for key in self._by_hash.values() if key.user == user]:
            del self._by_hash[key.hash]

    async def caught_up(self) -> None:
        """Wait until every key issued before now is known."""
        await self._caught_up.wait()

    async def passed(self, seq: int) -> None:
        """Wait until this process honours the event at `seq`; Unavailable in vain."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._moved:
                await self._moved.wait_for(lambda: self._seq >= seq)
        except TimeoutError as error:
            raise Unavailable(
                "This is decided, but not in force here yet; try again."
            ) from error

    async def follow(self, client: Client) -> None:
        """Keep up with the log until cancelled."""
        while True:
            try:
                await self._begin(Log(client))
                async with Pump(client, start=self._seq + 1, types=FOLLOWED) as pump:
                    while True:
                        await self._take(pump)
            except (PumpLost, NatsError, ServiceError, TimeoutError) as reason:
                log.warning("keyring.interrupted", reason=repr(reason))
                await asyncio.sleep(RETRY_S)

    async def _begin(self, events: Log) -> None:
        """Forget everything if this is not the log we know: it counts from 1 again."""
        identity = await events.identity()
        if self._log_identity not in {"", identity}:
            self._by_hash.clear()
            self._hashes.clear()
            self._names.clear()
            self._erased.clear()
            self._seq = 0
        self._log_identity = identity

    async def _take(self, pump: Pump) -> None:
        is_ready = self._caught_up.is_set()
        batch = await pump.batch(limit=BATCH, wait=WAIT_S if is_ready else 0.01)
        await self._apply(batch)
        if not is_ready and await pump.is_drained():
            self._caught_up.set()
            log.info("keyring.ready", keys=len(self._by_hash), seq=self._seq)

    async def _apply(self, batch: Sequence[Pumped]) -> None:
        for pumped in batch:
            self._seq = pumped.seq
            try:
                fact = record(
                    pumped.payload, seq=pumped.seq, partition=pumped.partition
                )
            except (NewerVersion, msgspec.MsgspecError) as error:
                log.error("keyring.unreadable", seq=pumped.seq, error=repr(error))  # noqa: TRY400  # the sentence says all
                continue
            if fact:
                self.fold(fact)
        if batch:
            async with self._moved:
                self._moved.notify_all()


def _key(user: UUID, issued: ApiKeyIssued) -> Key:
    return Key(
        id=issued.key_id,
        hash=issued.hash,
        user=user,
        name=issued.name,
        prefix=issued.prefix,
        scopes=frozenset(issued.scopes),
        expires_at=issued.expires_at,
    )
