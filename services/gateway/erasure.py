"""Erasure: say that something is gone, wait until every store obeys, purge, give a receipt."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from services.gateway.handlers import now_ms
from services.gateway.keyring import Keyring
from shared import ids, subjects
from shared.broker import Bus
from shared.errors import NotFound
from shared.events import EVENTS, UserErased
from shared.log import Entry, Log
from shared.requests import (
    SERVICES,
    AskHoldings,
    Decided,
    DeleteSession,
    EraseUser,
    Holdings,
    Receipt,
    StoreReceipt,
)


PURGED = [name for name, kind in EVENTS.items() if not kind.erases]
"""Everything but the fact of the erasure itself, which keeps the data from returning."""

Counts = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erases sessions and users from every store there is."""

    log: Log
    bus: Bus
    keyring: Keyring

    async def erase_session(self, command: DeleteSession) -> Receipt:
        """Erase a session; doing it again finishes what was interrupted."""
        user = command.user
        candidates = ids.session_candidates(user, command.id)
        before = {
            session: await self._holdings(AskHoldings(user=user, session=session))
            for session in candidates
        }
        decided: Decided = await self.bus.answer(command)
        session = UUID(decided.id)
        lane = subjects.partition(user, session)
        await self.keyring.passed(decided.seq)
        asked = AskHoldings(user=user, session=session, after={lane: decided.seq})
        remains = await self._holdings(asked)
        purged = await self._purge(
            subjects.stored(name, user, session, partition=lane) for name in PURGED
        )
        return Receipt(
            what="session",
            id=decided.id,
            seq=decided.seq,
            erased_at=now_ms(),
            stores=_stores(before[session], remains, purged, facts=1),
        )

    async def erase_user(self, command: EraseUser) -> Receipt:
        """Erase a user, their keys and sessions: each lane of the log hears of it."""
        user = command.user
        if not self.keyring.name_of(user) and not self.keyring.is_erased(user):
            raise NotFound(f"There is no user {str(user)!r}.")
        before = await self._holdings(AskHoldings(user=user))
        places = await self._say_erased(user, command.correlation_id or uuid4().hex)
        seq = max(places.values())
        await self.keyring.passed(seq)
        remains = await self._holdings(AskHoldings(user=user, after=places))
        names = [*PURGED, "SessionDeleted"]
        purged = await self._purge(subjects.stored(name, user) for name in names)
        return Receipt(
            what="user",
            id=str(user),
            seq=seq,
            erased_at=now_ms(),
            stores=_stores(before, remains, purged, facts=subjects.PARTITIONS),
        )

    async def _say_erased(self, user: UUID, correlation_id: str) -> dict[int, int]:
        """Write the fact to every lane, and say where; once is enough."""
        known = await self.log.newest(subjects.stored(UserErased.__name__, user))
        if known:
            return {subjects.partition_of(one.subject): one.seq for one in known}
        lanes = range(subjects.PARTITIONS)
        entries = [
            Entry(
                event=UserErased(),
                user=user,
                session=subjects.lane_session(user, lane),
                time=now_ms(),
                correlation_id=correlation_id,
            )
            for lane in lanes
        ]
        appended = await self.log.append_batch(entries)
        return dict(zip(lanes, (one.seq for one in appended), strict=True))

    async def _holdings(self, asked: AskHoldings) -> Counts:
        """Ask every service; one that does not answer stops the erasure."""
        found: list[Holdings] = await asyncio.gather(
            *(self.bus.answer(asked, service=service) for service in SERVICES)
        )
        return {table: rows for held in found for table, rows in held.rows.items()}

    async def _purge(self, subjects_: Iterable[str]) -> int:
        return sum([await self.log.purge(subject) for subject in subjects_])


def _stores(
    before: Counts, remains: Counts, purged: int, *, facts: int
) -> list[StoreReceipt]:
    log = StoreReceipt(
        store="log",
        removed=purged,
        remains=facts,
        note="the fact of the erasure, which keeps the data from coming back",
    )
    tables = [
        StoreReceipt(store=name, removed=before[name] - left, remains=left)
        for name, left in remains.items()
    ]
    return [log, *tables]
