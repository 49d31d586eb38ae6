"""Events that a projection cannot apply: parked, each blocking its own session only.

Parked events keep their order. What comes later for a blocked session queues behind
the one that failed; every other session goes on.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from shared.events import Event, Recorded, SessionDeleted
from shared.postgres import Connection


TABLES = """
CREATE TABLE IF NOT EXISTS dead_letter (
  seq bigint PRIMARY KEY,
  partition int NOT NULL,
  user_id uuid,
  session_id uuid,
  type text NOT NULL,
  time bigint NOT NULL,
  error text
);
CREATE INDEX IF NOT EXISTS dead_letter_session ON dead_letter (user_id, session_id);

CREATE TABLE IF NOT EXISTS blocked_session (
  user_id uuid NOT NULL,
  session_id uuid NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (user_id, session_id)
);
"""

NO_SESSION = UUID(int=0)
"""Stands in for the session of events that belong to a user alone."""

Key = tuple[UUID, UUID]


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """An event set aside; `error` is None for one that only waits behind another."""

    seq: int
    partition: int
    user: UUID
    session: UUID | None
    type: str
    time: int
    error: str | None = None


def key_of(event: Recorded[Event] | Parked) -> Key:
    return event.user, event.session or NO_SESSION


def parked(event: Recorded[Event], error: Exception | None = None) -> Parked:
    return Parked(
        seq=event.seq,
        partition=event.partition,
        user=event.user,
        session=event.session,
        type=type(event.event).__name__,
        time=event.time,
        error=f"{type(error).__name__}: {error}"[:2000] if error else None,
    )


async def blocked(db: Connection) -> set[Key]:
    """Say which sessions wait for a person."""
    rows = await (
        await db.execute("SELECT user_id, session_id FROM blocked_session")
    ).fetchall()
    return set(rows)


async def still_blocked(db: Connection, keys: Sequence[Key]) -> set[Key]:
    """Say which of these are blocked, and keep them so until the transaction ends."""
    rows = await (
        await db.execute(
            "SELECT b.user_id, b.session_id FROM blocked_session b"
            " JOIN unnest(%s::uuid[], %s::uuid[]) AS k (user_id, session_id)"
            " USING (user_id, session_id) FOR SHARE OF b",
            ([user for user, _ in keys], [session for _, session in keys]),
        )
    ).fetchall()
    return set(rows)


async def forget(db: Connection, events: Sequence[Recorded[Event]]) -> None:
    """Drop what is parked of sessions and users that are being erased."""
    for event in events:
        session = event.session if isinstance(event.event, SessionDeleted) else None
        key = (event.user, session, session)
        for table in ("dead_letter", "blocked_session"):
            statement = (
                f"DELETE FROM {table} WHERE user_id = %s"  # noqa: S608  # one of our two
                " AND (%s::uuid IS NULL OR session_id = %s)"
            )
            await db.execute(statement.encode(), key)


async def park(db: Connection, letters: Sequence[Parked]) -> None:
    """Set events aside and block their sessions, within the caller's transaction."""
    if not letters:
        return
    await db.execute(
        "INSERT INTO dead_letter"
        " SELECT * FROM unnest(%s::bigint[], %s::int[], %s::uuid[], %s::uuid[],"
        " %s::text[], %s::bigint[], %s::text[]) ON CONFLICT DO NOTHING",
        (
            [letter.seq for letter in letters],
            [letter.partition for letter in letters],
            [letter.user for letter in letters],
            [letter.session for letter in letters],
            [letter.type for letter in letters],
            [letter.time for letter in letters],
            [letter.error for letter in letters],
        ),
    )
    first = {key_of(letter): letter.seq for letter in reversed(letters)}
    await db.execute(
        "INSERT INTO blocked_session"
        " SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[])"
        " ON CONFLICT DO NOTHING",
        (
            [user for user, _ in first],
            [session for _, session in first],
            list(first.values()),
        ),
    )
