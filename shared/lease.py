"""Who works on which lanes: live workers share them, and a fence keeps zombies out.

A worker is a database connection. It holds a lane while it renews its lease; when
its connection is gone, or it has been silent for too long, another takes the lane
and raises the lane's epoch. Every commit names the epoch and the position it builds
on, so a worker that was paused cannot write late (`advance`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from shared import subjects
from shared.postgres import Connection


RENEW_S = 2.0
LEASE_S = 6.0

TABLES = """
CREATE TABLE IF NOT EXISTS checkpoint (
  partition int PRIMARY KEY,
  seq bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 0,
  owner text,
  lease_until timestamptz NOT NULL DEFAULT '-infinity',
  stream text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS worker (
  id text PRIMARY KEY,
  pid int NOT NULL,
  started timestamptz NOT NULL,
  seen_at timestamptz NOT NULL
);
"""

_SIGN_IN = """
INSERT INTO worker (id, pid, started, seen_at)
SELECT %(me)s, pid, backend_start, clock_timestamp()
FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT (id) DO UPDATE
SET pid = excluded.pid, started = excluded.started, seen_at = excluded.seen_at
"""
_BURY = """
DELETE FROM worker w
WHERE w.seen_at < clock_timestamp() - make_interval(secs => %(lease)s)
   OR NOT EXISTS (SELECT 1 FROM pg_stat_activity a
                  WHERE a.pid = w.pid AND a.backend_start = w.started)
"""
_LIVE = "SELECT id FROM worker ORDER BY id"
_RELEASE = """
UPDATE checkpoint SET owner = NULL
WHERE owner = %(me)s AND partition <> ALL(%(mine)s)
"""
_EXTEND = """
UPDATE checkpoint
SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE owner = %(me)s
"""
_TAKE = """
UPDATE checkpoint
SET owner = %(me)s, epoch = epoch + 1,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE partition = ANY(%(mine)s) AND owner IS DISTINCT FROM %(me)s
  AND (owner IS NULL OR owner <> ALL(%(live)s) OR lease_until < clock_timestamp())
"""
_HELD = "SELECT partition, seq, epoch FROM checkpoint WHERE owner = %(me)s"
_ADVANCE = """
UPDATE checkpoint c SET seq = held.next
FROM unnest(%(lanes)s::int[], %(epochs)s::bigint[], %(seqs)s::bigint[],
            %(next)s::bigint[]) AS held (partition, epoch, seq, next)
WHERE c.partition = held.partition AND c.epoch = held.epoch AND c.seq = held.seq
"""


class LeaseLost(Exception):
    """Another worker has taken a lane, or the projection was swapped underneath."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a lane is applied, and under which epoch this worker holds it."""

    seq: int
    epoch: int


Held = dict[int, Position]


async def create_lanes(db: Connection, *, stream: str) -> None:
    """Make one checkpoint row per lane; `stream` tells which log they count."""
    await db.execute(
        "INSERT INTO checkpoint (partition, stream)"
        " SELECT lane, %s FROM generate_series(0, %s) AS lane ON CONFLICT DO NOTHING",
        (stream, subjects.PARTITIONS - 1),
    )


async def renew(db: Connection, *, me: str) -> Held:
    """Sign in, give up what is not my share, take what is free, and say what I hold."""
    async with db.transaction():
        await db.execute(sql.SQL("LOCK TABLE worker IN SHARE ROW EXCLUSIVE MODE"))
        await db.execute(_SIGN_IN, {"me": me})
        await db.execute(_BURY, {"lease": LEASE_S})
        live = [row[0] for row in await (await db.execute(_LIVE)).fetchall()]
        names = {
            "me": me,
            "mine": share(live, me),
            "live": live,
            "lease": LEASE_S,
        }
        for statement in (_RELEASE, _EXTEND, _TAKE):
            await db.execute(statement, names)
        held = await (await db.execute(_HELD, names)).fetchall()
    return {lane: Position(seq, epoch) for lane, seq, epoch in held}


def share(live: list[str], me: str) -> list[int]:
    """Divide the lanes evenly among the live workers, the same way for each."""
    rank = live.index(me)
    return [lane for lane in range(subjects.PARTITIONS) if lane % len(live) == rank]


Until = Mapping[int, int]
"""Where each lane is to stop."""


async def advance(
    db: Connection, held: Held, *, seq: int, until: Until | None = None
) -> Held:
    """Move my checkpoints to a sequence, or their end, in the caller's transaction.

    Raises LeaseLost unless every lane is still mine and stands where I left it.
    """
    moved = {
        lane: Position(
            max(position.seq, seq if until is None else min(seq, until[lane])),
            position.epoch,
        )
        for lane, position in held.items()
    }
    cursor = await db.execute(
        _ADVANCE,
        {
            "next": [position.seq for position in moved.values()],
            "lanes": list(held),
            "epochs": [position.epoch for position in held.values()],
            "seqs": [position.seq for position in held.values()],
        },
    )
    if cursor.rowcount != len(held):
        raise LeaseLost(f"{len(held) - cursor.rowcount} lanes were taken")
    return moved


async def sign_out(db: Connection, *, me: str) -> None:
    """Free my lanes at once, so that nobody waits for the lease to run out."""
    async with db.transaction():
        await db.execute("UPDATE checkpoint SET owner = NULL WHERE owner = %s", (me,))
        await db.execute("DELETE FROM worker WHERE id = %s", (me,))
