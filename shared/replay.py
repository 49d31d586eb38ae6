"""Building a projection again from the log while the old copy answers, and swapping them.

The new copy is a schema of its own, filled by the same worker and fold. The swap
renames two schemas in one transaction; readers notice nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from nats.aio.client import Client
from psycopg import sql

from shared import subjects
from shared.contents import Difference, differences
from shared.errors import Conflict, Invalid, NotFound
from shared.lease import Until
from shared.log import Log
from shared.postgres import Connection, connect
from shared.projection import Projection
from shared.schema import prepare
from shared.worker import Worker


SUFFIX = "__replay"
AS_OF = "__as_of_"
CLOSE_ENOUGH = 2000
"""Events behind the log at which the swap begins."""
SWAP_LOCK_S = 5
WATCH_S = 0.2

Watch = Callable[[int, int], None]
"""Called with how far the copy is and how far it must get."""

Helping = Callable[[Projection, Until], AbstractAsyncContextManager[None]]
"""Lets other processes work on a copy up to its ends; they are gone when it exits."""


def alone(_: Projection, __: Until) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class Differs(Conflict):
    """The rebuilt copy is not what the live one holds."""

    def __init__(self, found: list[Difference]) -> None:
        super().__init__(
            f"{len(found)} differences between the live copy and the replay"
        )
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One projection being rebuilt."""

    projection: Projection
    postgres_url: str
    client: Client
    helping: Helping = alone

    @property
    def schema(self) -> str:
        return self.projection.schema + SUFFIX

    async def run(
        self, watch: Watch, *, verify: bool = False, resume: bool = False
    ) -> list[str]:
        """Rebuild and swap; return the schemas that were compared, if any.

        Raises Conflict if a replay of this projection runs or was left unfinished,
        Differs if `verify` finds any; the old copy serves on.
        """
        async with self._alone(resume=resume) as db:
            try:
                await self._build(db, watch)
                if verify:
                    await self._compare(db)
                while not await self._swap(db):
                    await self._reach(await self._live(db), watch)
            except (Differs, asyncio.CancelledError):
                await drop(db, self.schema)
                raise
        return [self.projection.schema]

    async def check(self, watch: Watch) -> list[Difference]:
        """Rebuild, compare with the live copy, and throw away what was built."""
        async with self._alone(resume=False) as db:
            try:
                await self._build(db, watch)
                await self._compare(db)
            except Differs as differs:
                return differs.found
            finally:
                await drop(db, self.schema)
        return []

    async def discard(self) -> None:
        """Throw away what an unfinished replay has left behind."""
        async with self._alone(resume=True) as db:
            await drop(db, self.schema)

    async def run_as_of(self, seq: int, watch: Watch) -> str:
        """Build a copy as it stood at a sequence, beside the live one; return its schema."""
        copy = replace(self.projection, schema=f"{self.projection.schema}{AS_OF}{seq}")
        async with await connect(self.postgres_url, schema=copy.schema) as db:
            if not await _locked(db, copy.schema):
                raise Conflict(
                    f"{self.projection.name} as of {seq} is already being built."
                )
            await drop(db, copy.schema)
            try:
                await self._fill(
                    copy, dict.fromkeys(range(subjects.PARTITIONS), seq), watch
                )
            except asyncio.CancelledError:
                await drop(db, copy.schema)
                raise
        return copy.schema

    @asynccontextmanager
    async def _alone(self, *, resume: bool) -> AsyncIterator[Connection]:
        async with await connect(self.postgres_url, schema=self.schema) as db:
            if not await _locked(db, self.schema):
                raise Conflict(
                    f"A replay of {self.projection.name} is already running."
                )
            if not resume and await exists(db, self.schema):
                raise Conflict(
                    f"A replay of {self.projection.name} was left unfinished:"
                    " say --resume to finish it or --discard to begin again."
                )
            yield db

    async def _build(self, db: Connection, watch: Watch) -> None:
        """Load without the readers' indexes, build these, then come close to the log."""
        stream = await Log(self.client).identity()
        async with await connect(
            self.postgres_url, schema=self.projection.schema
        ) as live:
            await prepare(live, self.projection, stream=stream)
        bare = replace(self.projection, schema=self.schema, indexes="")
        target = await self._live(db)
        async with self.helping(bare, target):
            await self._fill(bare, target, watch)
        await prepare(db, replace(self.projection, schema=self.schema), stream=stream)
        await db.execute("ANALYZE")
        while (
            max((await self._live(db)).values()) - max(target.values()) > CLOSE_ENOUGH
        ):
            target = await self._live(db)
            await self._reach(target, watch)

    async def _live(self, db: Connection, *, lock: bool = False) -> dict[int, int]:
        """Say where the live copy stands; a lock holds it there for this transaction."""
        statement = "SELECT partition, seq FROM {live}.checkpoint"
        cursor = await _execute(
            db, statement + " FOR UPDATE" * lock, live=self.projection.schema
        )
        return dict(await cursor.fetchall())

    async def _reach(self, until: Until, watch: Watch) -> None:
        await self._fill(replace(self.projection, schema=self.schema), until, watch)

    async def _fill(self, copy: Projection, until: Until, watch: Watch) -> None:
        """Apply the log up to the given places, telling how far it is."""
        worker = Worker(
            copy, postgres_url=self.postgres_url, client=self.client, until=until
        )
        end = max(until.values())
        work = asyncio.create_task(worker.run())
        try:
            async with await connect(self.postgres_url, schema=copy.schema) as db:
                while not work.done():
                    await asyncio.wait({work}, timeout=WATCH_S)
                    watch(await _reached(db, copy.schema), end)
            await work
        finally:
            work.cancel()

    async def _compare(self, db: Connection) -> None:
        """Hold the live copy still until both stand at one place, then compare snapshots."""
        async with await connect(self.postgres_url, schema=self.schema) as reader:
            async with db.transaction():
                await self._catch_live(db)
                await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                await reader.execute("SELECT 1")
            found = await differences(reader, self.projection.schema, self.schema)
        if found:
            raise Differs(found)

    async def _swap(self, db: Connection) -> bool:
        """Rename in one transaction; False if the live copy could not be caught in time."""
        live, old = self.projection.schema, f"{self.projection.schema}__old"
        await drop(db, old)
        try:
            async with db.transaction():
                await self._catch_live(db)
                await _execute(
                    db,
                    "UPDATE {new}.checkpoint n SET owner = NULL, epoch = o.epoch + 1"
                    " FROM {live}.checkpoint o WHERE o.partition = n.partition",
                    new=self.schema,
                    live=live,
                )
                await _execute(
                    db, "ALTER SCHEMA {live} RENAME TO {old}", live=live, old=old
                )
                await _execute(
                    db,
                    "ALTER SCHEMA {new} RENAME TO {live}",
                    new=self.schema,
                    live=live,
                )
        except (psycopg.errors.LockNotAvailable, TimeoutError):
            return False
        await drop(db, old)
        return True

    async def _catch_live(self, db: Connection) -> None:
        """Stop the live copy's checkpoints for this transaction, and catch up with them."""
        await db.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK_S}s'".encode())
        target = await self._live(db, lock=True)
        async with asyncio.timeout(SWAP_LOCK_S):
            await self._reach(target, lambda _at, _of: None)


async def sequence_at(log: Log, moment_ms: int) -> int:
    """Find the last sequence that was written at or before a time."""
    low, high = await log.first(), await log.head()
    first = await log.next_from(low)
    if first is None or first.written > moment_ms:
        raise NotFound("The log has no event that early.")
    while low < high:
        middle = (low + high + 1) // 2
        found = await log.next_from(middle)
        if found and found.written <= moment_ms:
            low = max(middle, found.seq)
        else:
            high = middle - 1
    return low


async def exists(db: Connection, schema: str) -> bool:
    found = await db.execute("SELECT to_regnamespace(%s)", (schema,))
    row = await found.fetchone()
    return bool(row and row[0])


async def copies(db: Connection, projection: Projection) -> list[str]:
    """List the schemas that hold copies of a projection, the live one first."""
    found = await db.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = %s OR starts_with(nspname, %s)"
        " ORDER BY nspname",
        (projection.schema, f"{projection.schema}__"),
    )
    return [name for (name,) in await found.fetchall()]


async def drop(db: Connection, schema: str) -> None:
    """Remove a copy; never the live one."""
    if "__" not in schema:
        raise Invalid(f"{schema} is a live projection")
    await _execute(db, "DROP SCHEMA IF EXISTS {schema} CASCADE", schema=schema)


async def _reached(db: Connection, schema: str) -> int:
    if not await exists(db, schema):
        return 0
    try:
        cursor = await _execute(db, "SELECT max(seq) FROM {s}.checkpoint", s=schema)
    except psycopg.errors.UndefinedTable:
        return 0
    row = await cursor.fetchone()
    return int(row[0] or 0) if row else 0


async def _locked(db: Connection, schema: str) -> bool:
    cursor = await db.execute(
        "SELECT pg_try_advisory_lock(hashtext('replay ' || %s))", (schema,)
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def _execute(
    db: Connection, statement: str, **names: str
) -> psycopg.AsyncCursor[tuple[Any, ...]]:
    built = sql.SQL(statement).format(
        **{key: sql.Identifier(name) for key, name in names.items()}
    )
    return await db.execute(built)
