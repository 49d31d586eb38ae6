"""Commands about users and keys: load, decide, append; said twice is said once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_bytes
from time import time
from uuid import UUID, uuid4

import msgspec

from services.gateway import keys
from services.gateway.keyring import Keyring
from services.gateway.keys import Account
from shared import ids, subjects
from shared.errors import Conflict, WrongExpectedSeq
from shared.events import (
    ApiKeyIssued,
    ApiKeyRevoked,
    Event,
    Recorded,
    UserRegistered,
    record,
)
from shared.log import Entry, Log
from shared.requests import Decided, IssueApiKey, IssuedKey, RegisterUser, RevokeApiKey


KINDS: tuple[type[Event], ...] = (UserRegistered, ApiKeyIssued, ApiKeyRevoked)
ATTEMPTS = 5

Decision = Callable[[Account], Sequence[Event]]


def now_ms() -> int:
    return int(time() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Answers the commands; an answer means that this process honours the decision."""

    log: Log
    keyring: Keyring

    async def register_user(self, command: RegisterUser) -> Decided:
        user = ids.user_id(command.name)
        account, seq = await self._decided(
            user, command.correlation_id, lambda known: keys.register(command, known)
        )
        registered = account.registered
        return Decided(id=str(user), seq=seq or (registered.seq if registered else 0))

    async def issue_key(self, command: IssueApiKey) -> IssuedKey:
        key = command.key or keys.mint(token_bytes(keys.KEY_BYTES))
        hash_ = keys.hashed(key)
        holder = self.keyring.find(hash_)
        if holder and holder.user != command.user:
            raise Conflict("This key belongs to another user.")
        key_id, now = uuid4(), now_ms()
        account, _ = await self._decided(
            command.user,
            command.correlation_id,
            lambda known: keys.issue(command, known, key=key, key_id=key_id, now=now),
        )
        fact = account.with_hash(hash_)
        if fact is None:
            raise Conflict("The key could not be issued; try again.")
        issued = fact.event
        return IssuedKey(
            id=str(issued.key_id),
            key=key,
            name=issued.name,
            prefix=issued.prefix,
            scopes=list(issued.scopes),
            expires_at=issued.expires_at,
            seq=fact.seq,
        )

    async def revoke_key(self, command: RevokeApiKey) -> Decided:
        account, _ = await self._decided(
            command.user,
            command.correlation_id,
            lambda known: keys.revoke(command, known),
        )
        seq = account.revoked[command.key_id]
        return Decided(id=str(command.key_id), seq=seq)

    async def _decided(
        self, user: UUID, correlation_id: str, decide: Decision
    ) -> tuple[Account, int]:
        """Return the account after the decision, and its place in the log (0: old)."""
        for _ in range(ATTEMPTS):
            facts = await self._load(user)
            account = keys.remembered(facts)
            if self.keyring.is_erased(user):
                account = msgspec.structs.replace(account, is_erased=True)
            events = decide(account)
            if not events:
                return account, 0
            try:
                fact = await self._append(user, correlation_id, events[0], facts)
            except WrongExpectedSeq:
                continue
            await self.keyring.passed(fact.seq)
            return keys.evolve(account, fact), fact.seq
        raise WrongExpectedSeq("Others keep changing this account; try again.")

    async def _load(self, user: UUID) -> list[Recorded[Event]]:
        lane = subjects.partition(user, None)
        found = [
            record(stored.payload, seq=stored.seq, partition=lane)
            for kind in KINDS
            async for stored in self.log.read(
                subjects.stored(kind.__name__, user, partition=lane)
            )
        ]
        return sorted((fact for fact in found if fact), key=lambda fact: fact.seq)

    async def _append(
        self,
        user: UUID,
        correlation_id: str,
        event: Event,
        facts: Sequence[Recorded[Event]],
    ) -> Recorded[Event]:
        """Append unless somebody else decided the same kind of thing meanwhile."""
        kind = type(event)
        lane = subjects.partition(user, None)
        last = max((f.seq for f in facts if isinstance(f.event, kind)), default=0)
        entry = Entry(
            event=event,
            user=user,
            session=None,
            time=now_ms(),
            correlation_id=correlation_id or uuid4().hex,
        )
        appended = await self.log.append(
            entry,
            expected=(subjects.stored(kind.__name__, user, partition=lane), last),
        )
        return Recorded(
            seq=appended.seq,
            partition=lane,
            id=entry.id,
            time=entry.time,
            user=user,
            session=None,
            correlation_id=entry.correlation_id,
            event=event,
        )
