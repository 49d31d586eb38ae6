"""How far a projection is: waiting for a position, and telling an operator."""

import asyncio
import time

from shared import subjects
from shared.log import Log
from shared.postgres import Pool, reading
from shared.projection import Projection
from shared.requests import LaneView, Progress, Ready


WAIT_S = 2.0
POLL_S = 0.003

_BEHIND = """
SELECT 1 FROM checkpoint c
JOIN unnest(%s::int[], %s::bigint[]) AS wanted (partition, seq)
  ON wanted.partition = c.partition AND c.seq < wanted.seq
LIMIT 1
"""
_STATE = """
SELECT (SELECT count(*) FROM worker),
       (SELECT count(*) FROM dead_letter),
       (SELECT count(*) FROM blocked_session)
"""
_LANES = """
SELECT c.partition, c.seq, c.owner, count(d.seq),
       count(DISTINCT (d.user_id, d.session_id)) FILTER (WHERE d.seq IS NOT NULL)
FROM checkpoint c LEFT JOIN dead_letter d USING (partition)
GROUP BY c.partition ORDER BY c.partition
"""


async def passed(pool: Pool, after: dict[int, int]) -> None:
    """Wait until the projection has applied these positions, two seconds at most.

    `after` maps partitions to sequences. A caller that waits in vain reads what
    there is: late is better than nothing.
    """
    if not after:
        return
    deadline = asyncio.get_running_loop().time() + WAIT_S
    wanted = (list(after), list(after.values()))
    async with reading(pool) as db:
        while await (await db.execute(_BEHIND, wanted)).fetchone():
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(POLL_S)


async def progress(pool: Pool, log: Log, projection: Projection) -> Progress:
    """Say how a projection stands against the log, lane by lane.

    A lane's lag is measured against the newest event of that lane that concerns the
    projection, so that a lane in which nothing happens is not behind.
    """
    async with reading(pool) as db:
        workers, letters, sessions = await (await db.execute(_STATE)).fetchone() or (
            0,
            0,
            0,
        )
        lanes = await (await db.execute(_LANES)).fetchall()
    newest = await log.newest_of_lanes(projection.filter or ("*",))
    ages = await asyncio.gather(
        *(
            _age(log, seq + 1, lane) if seq < newest.get(lane, 0) else _no_age()
            for lane, seq, *_ in lanes
        )
    )
    views = [
        LaneView(
            partition=lane,
            seq=seq,
            lag=max(0, newest.get(lane, 0) - seq),
            worker=owner,
            lag_s=age,
            dead_letters=waiting,
            blocked_sessions=held,
        )
        for (lane, seq, owner, waiting, held), age in zip(lanes, ages, strict=True)
    ]
    behind = [view for view in views if view.lag]
    slowest = min(behind, key=lambda view: view.seq) if behind else None
    return Progress(
        projection=projection.name,
        seq=slowest.seq if slowest else max((view.seq for view in views), default=0),
        lag=max(view.lag for view in views) if views else 0,
        lag_s=max(ages, default=0.0),
        workers=workers,
        dead_letters=letters,
        blocked_sessions=sessions,
        lanes=views,
    )


async def _no_age() -> float:
    return 0.0


async def _age(log: Log, seq: int, lane: int) -> float:
    """Say how long ago a lane's first event from a sequence on was written, in seconds."""
    oldest = await log.next_from(seq, subjects.lane(lane))
    return round(max(0.0, time.time() - oldest.written / 1000), 3) if oldest else 0.0


async def ready(pool: Pool, log: Log, projection: Projection, *, service: str) -> Ready:
    """Say in short how a service's projection stands against the log."""
    known = await progress(pool, log, projection)
    return Ready(
        service=service,
        seq=known.seq,
        lag=known.lag,
        workers=known.workers,
        dead_letters=known.dead_letters,
        blocked_sessions=known.blocked_sessions,
    )
