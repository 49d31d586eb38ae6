"""How far a projection is: waiting for a position, and telling an operator."""

import asyncio

from shared.log import Log
from shared.postgres import Pool, reading
from shared.requests import Ready


WAIT_S = 2.0
POLL_S = 0.003

_BEHIND = """
SELECT 1 FROM checkpoint c
JOIN unnest(%s::int[], %s::bigint[]) AS wanted (partition, seq)
  ON wanted.partition = c.partition AND c.seq < wanted.seq
LIMIT 1
"""
_STATE = """
SELECT (SELECT coalesce(min(seq), 0) FROM checkpoint),
       (SELECT count(*) FROM worker),
       (SELECT count(*) FROM dead_letter),
       (SELECT count(*) FROM blocked_session)
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


async def ready(pool: Pool, log: Log, *, service: str) -> Ready:
    """Say how a service's projection stands against the log."""
    async with reading(pool) as db:
        row = await (await db.execute(_STATE)).fetchone()
    seq, workers, letters, sessions = row or (0, 0, 0, 0)
    return Ready(
        service=service,
        seq=seq,
        lag=max(0, await log.head() - seq),
        workers=workers,
        dead_letters=letters,
        blocked_sessions=sessions,
    )
