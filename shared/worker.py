"""The engine: applies the log to a projection's tables, exactly once in effect.

Rows and checkpoint share a transaction, a whole batch at a time. Whatever dies,
the worker begins again at its checkpoint.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared import deadletters, lease, subjects
from shared.deadletters import Key, Parked, key_of, parked
from shared.errors import Unavailable
from shared.events import Event, NewerVersion, Recorded, decode_envelope, record
from shared.lease import Held, LeaseLost, Until
from shared.log import Log
from shared.postgres import AWAY, Connection, connect
from shared.projection import Batch, Projection
from shared.pump import Pump, Pumped, PumpLost
from shared.schema import LogChanged, TablesChanged, prepare, refuse_shorter_log


log = structlog.get_logger()

BATCH_EVENTS = 2000
PACE_S = 0.01
"""The least time between two batches under load: a lone event waits for nothing, and a
busy log is applied a hundred times a second instead of once per event."""
ASLEEP_S = 8
BACKOFF_S = 0.2
BACKOFF_MAX_S = 5.0
ANNOUNCED_SESSIONS = 100


class Worker:
    """Keeps a projection up to date; several workers, anywhere, divide the lanes."""

    def __init__(
        self,
        projection: Projection,
        *,
        postgres_url: str,
        client: Client,
        until: Until | None = None,
    ) -> None:
        """With `until`, apply nothing after each lane's end, and announce nothing."""
        self._projection = projection
        self._until = until
        self._url = postgres_url
        self._client = client
        self._log = Log(client)
        self._me = uuid4().hex
        self._held: Held = {}
        self._blocked: set[Key] = set()

    async def run(self) -> None:
        """Work until cancelled; outages of the log and the database are waited out.

        With `until`, return when every lane that is there to hold has got there.
        """
        wait = BACKOFF_S
        while True:
            began = perf_counter()
            try:
                await self._work()
            except (LeaseLost, PumpLost) as reason:
                self._say("projection.restarted", reason=str(reason))
            except (*AWAY, Unavailable, NatsError, TimeoutError) as reason:
                self._say("projection.waited", reason=repr(reason), wait_s=wait)
            except (LogChanged, TablesChanged) as reason:
                log.error("projection.refused", reason=str(reason))  # noqa: TRY400  # the sentence says all
                wait = BACKOFF_MAX_S
            else:
                return
            if perf_counter() - began > BACKOFF_MAX_S:
                wait = BACKOFF_S
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACKOFF_MAX_S)

    def _say(self, event: str, **facts: Any) -> None:
        log.warning(event, projection=self._projection.name, **facts)

    async def _work(self) -> None:
        db = await connect(self._url, schema=self._projection.schema)
        async with db:
            # rows and checkpoint are lost together or not at all: no need to wait
            await db.execute("SET synchronous_commit TO off")
            # a worker put to sleep must not keep its rows locked for ever
            await db.execute(f"SET idle_in_transaction_session_timeout = '{ASLEEP_S}s'")
            await prepare(db, self._projection, stream=await self._log.identity())
            await refuse_shorter_log(db, self._projection, head=await self._log.head())
            try:
                await self._take_lanes(db)
                while not self._is_done():
                    await self._follow(db)
                    await self._take_lanes(db)
            finally:
                if not db.closed and not db.broken:
                    await lease.sign_out(db, me=self._me)

    def _is_done(self) -> bool:
        if self._until is None or not self._held:
            return False
        return all(
            position.seq >= self._until[lane] for lane, position in self._held.items()
        )

    async def _take_lanes(self, db: Connection) -> None:
        self._held = await lease.renew(db, me=self._me)
        while not self._held:
            await asyncio.sleep(lease.RENEW_S / 4)
            self._held = await lease.renew(db, me=self._me)
        self._blocked = await deadletters.blocked(db)

    async def _follow(self, db: Connection) -> None:
        """Apply what arrives until the division of lanes changes."""
        start = min(position.seq for position in self._held.values()) + 1
        loop = asyncio.get_running_loop()
        async with Pump(
            self._client,
            start=start,
            lanes=list(self._held),
            types=self._projection.filter,
        ) as pump:
            renewal = loop.time() + lease.RENEW_S
            while True:
                wait = max(0.0, renewal - loop.time())
                batch = self._cut(await pump.batch(limit=BATCH_EVENTS, wait=wait))
                if batch:
                    began = loop.time()
                    await self._apply(db, batch)
                    await asyncio.sleep(began + PACE_S - loop.time())
                if self._is_done():
                    return
                if loop.time() >= renewal:
                    if not batch:
                        await self._catch_up_idle_lanes(db, pump)
                    if await self._lanes_changed(db):
                        return
                    renewal = loop.time() + lease.RENEW_S

    async def _lanes_changed(self, db: Connection) -> bool:
        held = await lease.renew(db, me=self._me)
        self._blocked = await deadletters.blocked(db)
        return held != self._held

    def _cut(self, batch: Sequence[Pumped]) -> Sequence[Pumped]:
        """Leave out what lies beyond the ends, but keep the last for its place."""
        until = self._until
        if until is None or not batch:
            return batch
        inside = [pumped for pumped in batch if pumped.seq <= until[pumped.partition]]
        return inside or batch[-1:]

    async def _catch_up_idle_lanes(self, db: Connection, pump: Pump) -> None:
        """Move checkpoints over events of other workers' lanes, so that lag is true."""
        head = await self._log.head()
        behind = any(position.seq < head for position in self._held.values())
        if behind and await pump.is_drained():
            async with db.transaction():
                self._held = await lease.advance(
                    db, self._held, seq=head, until=self._until
                )

    async def _apply(self, db: Connection, batch: Sequence[Pumped]) -> None:
        began = perf_counter()
        events, letters = self._sort(batch)
        last = batch[-1].seq
        try:
            held = await self._commit(db, events, letters, last)
        except (LeaseLost, *AWAY) as error:
            if not _is_deterministic(error):
                raise
            held = await self._isolate(db, events, letters, last)
        except Exception:  # noqa: BLE001  # any other failure is the fold's own: find its event
            held = await self._isolate(db, events, letters, last)
        self._held = held
        if self._until is None:
            await self._announce(events, last)
        took = round((perf_counter() - began) * 1000, 1)
        log.debug(
            "projection.applied",
            projection=self._projection.name,
            events=len(events),
            seq=last,
            took_ms=took,
        )

    def _sort(
        self, batch: Sequence[Pumped]
    ) -> tuple[list[Recorded[Event]], list[Parked]]:
        """Tell events to apply from those to park; skip what is done or not ours."""
        events: list[Recorded[Event]] = []
        letters: list[Parked] = []
        for pumped in batch:
            if pumped.seq <= self._held[pumped.partition].seq:
                continue
            if self._until and pumped.seq > self._until[pumped.partition]:
                continue
            try:
                event = record(
                    pumped.payload, seq=pumped.seq, partition=pumped.partition
                )
            except (NewerVersion, msgspec.MsgspecError) as error:
                letters.append(_unreadable(pumped, error))
                self._blocked.add(key_of(letters[-1]))
                continue
            if event is None or not isinstance(event.event, self._projection.handles):
                continue
            if event.event.erases:
                # what came before in its session is moot, and must not hold it back
                events = [e for e in events if key_of(e) != key_of(event)]
                letters = [e for e in letters if key_of(e) != key_of(event)]
                self._blocked.discard(key_of(event))
                events.append(event)
            elif self._blocked and key_of(event) in self._blocked:
                letters.append(parked(event))
            else:
                events.append(event)
        return events, letters

    async def _commit(
        self, db: Connection, events: Batch, letters: Sequence[Parked], last: int
    ) -> Held:
        async with db.transaction():
            held = await lease.advance(db, self._held, seq=last, until=self._until)
            await self._park(db, letters)
            await deadletters.forget(db, [e for e in events if e.event.erases])
            if events:
                await self._projection.apply(db, events)
        return held

    async def _park(self, db: Connection, letters: Sequence[Parked]) -> None:
        """Set events aside, unless an operator has just freed their session."""
        waiting = {key_of(letter) for letter in letters if letter.error is None}
        new = {key_of(letter) for letter in letters if letter.error is not None}
        free = waiting - new
        if free and await deadletters.still_blocked(db, list(free)) != free:
            raise LeaseLost("a session was freed meanwhile")
        await deadletters.park(db, letters)

    async def _isolate(
        self, db: Connection, events: Batch, letters: Sequence[Parked], last: int
    ) -> Held:
        """Apply all sessions but those whose events fail; park these."""
        sessions: dict[Key, list[Recorded[Event]]] = {}
        for event in events:
            sessions.setdefault(key_of(event), []).append(event)
        async with db.transaction():
            held = await lease.advance(db, self._held, seq=last, until=self._until)
            failed = await self._bisect(db, list(sessions.values()))
            await self._park(db, [*letters, *failed])
            await deadletters.forget(db, [e for e in events if e.event.erases])
        for letter in failed:
            self._blocked.add(key_of(letter))
            if letter.error:
                self._say("projection.parked", seq=letter.seq, type=letter.type)
        return held

    async def _bisect(
        self, db: Connection, sessions: list[list[Recorded[Event]]]
    ) -> list[Parked]:
        """Halve until the failing session stands alone, then find its event."""
        events = sorted((e for session in sessions for e in session), key=_seq)
        error = await self._try(db, events)
        if error is None:
            return []
        if len(sessions) > 1:
            half = len(sessions) // 2
            return [
                *await self._bisect(db, sessions[:half]),
                *await self._bisect(db, sessions[half:]),
            ]
        for at, event in enumerate(events):
            error = await self._try(db, [event])
            if error:
                return [parked(event, error), *map(parked, events[at + 1 :])]
        return []  # each passes alone: what failed was their number, and it is done

    async def _try(self, db: Connection, events: Batch) -> Exception | None:
        try:
            async with db.transaction():
                await self._projection.apply(db, events)
        except Exception as error:  # sorted into transient and the fold's own
            if not _is_deterministic(error):
                raise
            return error
        return None

    async def _announce(self, events: Batch, last: int) -> None:
        """Tell each user's listeners which sessions have just changed."""
        touched: dict[str, dict[str, None]] = {}
        for event in events:
            sessions = touched.setdefault(subjects.live(event.user), {})
            if event.session:
                sessions[str(event.session)] = None
        for subject, sessions in touched.items():
            news = {
                "projection": self._projection.name,
                "seq": last,
                "sessions": list(sessions)[:ANNOUNCED_SESSIONS],
                "more": len(sessions) > ANNOUNCED_SESSIONS,
            }
            await self._client.publish(subject, msgspec.json.encode(news))


def _seq(event: Recorded[Event]) -> int:
    return event.seq


def _is_deterministic(error: BaseException) -> bool:
    """Tell a fold's own failure from an outage; class 54 is a limit of the data."""
    if isinstance(error, LeaseLost):
        return False
    if isinstance(error, AWAY):
        return (getattr(error, "sqlstate", None) or "").startswith("54")
    return True


def _unreadable(pumped: Pumped, error: Exception) -> Parked:
    """Park what cannot be decoded under as much of a key as can be read."""
    try:
        envelope = decode_envelope(pumped.payload)
    except msgspec.MsgspecError:
        return Parked(
            seq=pumped.seq,
            partition=pumped.partition,
            user=deadletters.NO_SESSION,
            session=None,
            type="unreadable",
            time=0,
            error=f"{type(error).__name__}: {error}"[:2000],
        )
    return Parked(
        seq=pumped.seq,
        partition=pumped.partition,
        user=envelope.user,
        session=envelope.session,
        type=envelope.type,
        time=envelope.time,
        error=f"{type(error).__name__}: {error}"[:2000],
    )
