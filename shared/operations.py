"""What every service answers to an operator: how far it is, what failed, try again."""

from collections.abc import Sequence
from typing import Any

from shared import deadletters
from shared.broker import Answerer
from shared.errors import NotFound, Unavailable
from shared.events import Event, Recorded, SessionDeleted, UserErased, record
from shared.holdings import holdings
from shared.log import Log
from shared.postgres import AWAY, Connection, Pool, reading
from shared.progress import passed, progress, ready
from shared.projection import Projection
from shared.requests import (
    AskHoldings,
    AskProgress,
    AskReady,
    DeadLetters,
    DeadLetterView,
    Holdings,
    ListDeadLetters,
    Retried,
    RetryDeadLetter,
)


_LETTERS = """
SELECT seq, type, user_id, session_id, time, error FROM dead_letter
WHERE seq >= %s ORDER BY seq LIMIT %s
"""
_KEY = """
SELECT user_id, coalesce(session_id, %s) FROM dead_letter WHERE seq = %s
"""
_WAITING = """
SELECT seq, partition FROM dead_letter
WHERE user_id = %s AND coalesce(session_id, %s) = %s ORDER BY seq
"""


class Operations:
    """Answers for one service's projection."""

    def __init__(
        self, projection: Projection, *, service: str, pool: Pool, log: Log
    ) -> None:
        self._projection = projection
        self._service = service
        self._pool = pool
        self._log = log

    def answerers(self) -> Sequence[Answerer]:
        return (
            Answerer(AskReady, self.is_ready),
            Answerer(AskProgress, self.how_far),
            Answerer(AskHoldings, self.count_holdings),
            Answerer(ListDeadLetters, self.list_letters),
            Answerer(RetryDeadLetter, self.retry),
        )

    async def is_ready(self, _: AskReady) -> Any:
        return await ready(
            self._pool, self._log, self._projection, service=self._service
        )

    async def how_far(self, _: AskProgress) -> Any:
        return await progress(self._pool, self._log, self._projection)

    async def count_holdings(self, asked: AskHoldings) -> Holdings:
        """Count, table by table, what is kept of a user or a session."""
        end = SessionDeleted if asked.session else UserErased
        if end in self._projection.handles:
            await passed(self._pool, asked.after)
        async with reading(self._pool) as db:
            return Holdings(
                rows=await holdings(
                    db,
                    self._projection.schema,
                    user=asked.user,
                    session=asked.session,
                )
            )

    async def list_letters(self, asked: ListDeadLetters) -> DeadLetters:
        async with reading(self._pool) as db:
            found = await db.execute(_LETTERS, (asked.from_seq, asked.limit))
            rows = await found.fetchall()
        return DeadLetters(
            letters=[
                DeadLetterView(
                    projection=self._projection.name,
                    seq=seq,
                    type=type_,
                    user=str(user) if user else None,
                    session=str(session) if session else None,
                    since=time,
                    error=error,
                )
                for seq, type_, user, session, time, error in rows
            ]
        )

    async def retry(self, command: RetryDeadLetter) -> Retried:
        """Apply a blocked session's parked events in order, all or none."""
        async with reading(self._pool) as db:
            try:
                async with db.transaction():
                    return await self._apply(db, command)
            except (*AWAY, Unavailable, NotFound):
                raise
            except Exception as error:  # noqa: BLE001  # the fold failed again: say how
                return await self._failed(db, command.seq, error)

    async def _apply(self, db: Connection, command: RetryDeadLetter) -> Retried:
        key = await self._key(db, command.seq)
        # the worker parks newcomers only while it sees this row
        await db.execute(
            "SELECT 1 FROM blocked_session"
            " WHERE user_id = %s AND session_id = %s FOR UPDATE",
            key,
        )
        waiting = await self._waiting(db, key)
        events = await self._read(
            waiting, without=command.seq if command.skip else None
        )
        if events:
            await self._projection.apply(db, events)
        await db.execute(
            "DELETE FROM dead_letter WHERE seq = ANY(%s)",
            ([seq for seq, _ in waiting],),
        )
        await db.execute(
            "DELETE FROM blocked_session WHERE user_id = %s AND session_id = %s", key
        )
        return Retried(applied=len(events), remaining=0)

    async def _key(self, db: Connection, seq: int) -> deadletters.Key:
        row = await (await db.execute(_KEY, (deadletters.NO_SESSION, seq))).fetchone()
        if row is None:
            raise NotFound(f"{self._projection.name} has no dead letter {seq}.")
        return row[0], row[1]

    async def _waiting(
        self, db: Connection, key: deadletters.Key
    ) -> list[tuple[int, int]]:
        user, session = key
        found = await db.execute(_WAITING, (user, deadletters.NO_SESSION, session))
        return await found.fetchall()

    async def _read(
        self, waiting: Sequence[tuple[int, int]], *, without: int | None
    ) -> list[Recorded[Event]]:
        """Fetch parked events from the log; what was erased meanwhile is left out."""
        events = []
        for seq, lane in waiting:
            stored = None if seq == without else await self._log.at(seq)
            event = stored and record(stored.payload, seq=seq, partition=lane)
            if event and isinstance(event.event, self._projection.handles):
                events.append(event)
        return events

    async def _failed(self, db: Connection, seq: int, error: Exception) -> Retried:
        sentence = f"{type(error).__name__}: {error}"[:2000]
        await db.execute(
            "UPDATE dead_letter SET error = %s WHERE seq = %s AND error IS NOT NULL",
            (sentence, seq),
        )
        user, session = await self._key(db, seq)
        waiting = await self._waiting(db, (user, session))
        return Retried(applied=0, remaining=len(waiting), error=sentence)
