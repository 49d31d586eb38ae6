"""Proves that what was accepted is what is stored, and what is stored is projected.

One walk over the log checks each event against its own hash and the sequences for
gaps, and counts who and what must be there. Each projection is read in a snapshot,
at the very positions its checkpoints name, so that the system may run on meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import md5, sha256
from uuid import UUID

import msgspec
import psycopg
from nats.aio.client import Client
from psycopg import sql

from shared import subjects
from shared.events import Event, NewerVersion, Recorded, decode_envelope, open_event
from shared.log import HASH, Log
from shared.postgres import Connection, connect
from shared.projection import Projection
from shared.pump import Pumped
from shared.walk import LogState, log_state, walk


SHOWN = 20
CATCH_UP_S = 10.0
LOOK_EVERY_S = 0.05
GRACE_MS = 10 * 60 * 1000
"""An event that crossed its session's deletion is purged with it a little later."""

Of = Callable[[Recorded[Event]], tuple[UUID, ...] | None]
Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """A table whose keys follow from single events: which columns, and from which."""

    table: str
    key: tuple[str, ...]
    of: Of


class Check(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the report: how many there must be, how many there are."""

    what: str
    expected: int
    found: int
    problems: list[str] = []

    @property
    def is_good(self) -> bool:
        return not self.problems and self.expected == self.found


@dataclass(slots=True)
class Roll:
    """The keys of one table as the log tells them; a key is remembered by its mark."""

    census: Census
    rows: int = 0
    checksum: int = 0
    marks: dict[UUID, dict[UUID | None, dict[int, int]]] = field(default_factory=dict)

    def note(self, event: Recorded[Event]) -> None:
        key = self.census.of(event)
        if key is not None:
            sessions = self.marks.setdefault(event.user, {})
            sessions.setdefault(event.session, {}).setdefault(_mark(key), event.seq)

    def forget(self, user: UUID, session: UUID | None) -> None:
        if session is None:
            self.marks.pop(user, None)
        else:
            self.marks.get(user, {}).pop(session, None)

    def all(self) -> dict[int, int]:
        """Map the marks of all keys to where in the log they were first named."""
        return {
            mark: seq
            for sessions in self.marks.values()
            for marks in sessions.values()
            for mark, seq in marks.items()
        }


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """A projection at one moment, and what the log says of it up to there."""

    projection: Projection
    db: Connection
    until: dict[int, int]
    parked: set[int]
    rolls: list[Roll]
    lag: int
    gone: set[tuple[UUID, UUID | None]] = field(default_factory=set)
    late: set[UUID] = field(default_factory=set)
    """Users of whom something was erased after the snapshot."""

    def note(self, event: Recorded[Event]) -> None:
        if event.seq > self.until.get(event.partition, 0):
            if event.event.erases:
                self.late.add(event.user)
            return
        if event.event.erases:
            self._erase(event)
        elif event.seq not in self.parked and not self._is_gone(event):
            for roll in self.rolls:
                roll.note(event)

    def _is_gone(self, event: Recorded[Event]) -> bool:
        user = event.user
        return (user, None) in self.gone or (user, event.session) in self.gone

    def _erase(self, event: Recorded[Event]) -> None:
        session = event.session if _is_of_session(event) else None
        self.gone.add((event.user, session))
        for roll in self.rolls:
            roll.forget(event.user, session)


def _is_of_session(event: Recorded[Event]) -> bool:
    """Tell the end of a session from the end of a user, which every lane hears of."""
    return type(event.event).__name__ == "SessionDeleted"


@dataclass(slots=True)
class Walked:
    """What the walk found in the log itself."""

    events: int = 0
    last: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of sequences that were not there."""
    wrong: dict[str, list[str]] = field(
        default_factory=lambda: {"hashes": [], "contents": []}
    )
    erased_at: list[tuple[int, int]] = field(default_factory=list)
    """Sequence and time of each erasure."""
    times: dict[int, int] = field(default_factory=dict)
    """When the event before each gap was written."""
    _time: int = 0
    _subjects: dict[tuple[UUID, UUID | None], int] = field(default_factory=dict)

    def take(self, pumped: Pumped) -> Recorded[Event] | None:
        """Check one message by itself; return its event if it can be read."""
        self.events += 1
        if pumped.seq != self.last + 1:
            self.gap(self.last + 1, pumped.seq - 1)
        self.last = pumped.seq
        told = hash_problem(pumped.headers.get(HASH), pumped.payload)
        if told:
            self.wrong["hashes"].append(f"sequence {pumped.seq} {told}")
        try:
            return self._opened(pumped)
        except NewerVersion:
            return None
        except msgspec.MsgspecError as error:
            self.wrong["contents"].append(
                f"sequence {pumped.seq} cannot be read: {error}"
            )
            return None

    def gap(self, first: int, last: int) -> None:
        self.missing.append((first, last))
        self.times[first] = self._time

    def _opened(self, pumped: Pumped) -> Recorded[Event] | None:
        envelope = decode_envelope(pumped.payload)
        self._time = envelope.time
        key = (envelope.user, envelope.session)
        if key not in self._subjects:
            self._subjects[key] = subjects.partition(*key)
        lane = self._subjects[key]
        if pumped.subject != subjects.stored_event(envelope.type, *key, lane=lane):
            self.wrong["contents"].append(
                f"sequence {pumped.seq} is filed as {pumped.subject}"
            )
        event = open_event(envelope)
        if event is None:
            return None
        if event.erases:
            self.erased_at.append((pumped.seq, envelope.time))
        return Recorded(
            seq=pumped.seq,
            partition=pumped.partition,
            id=envelope.id,
            time=envelope.time,
            user=envelope.user,
            session=envelope.session,
            correlation_id=envelope.correlation_id,
            event=event,
        )


def hash_problem(said: str | None, payload: bytes) -> str | None:
    """Hold an event against the hash it was accepted with; None if they agree."""
    if said is None:
        return "bears no hash"
    return None if sha256(payload).hexdigest() == said else "does not match its hash"


async def verify(
    client: Client,
    *,
    postgres_url: str,
    censuses: Iterable[tuple[Projection, Sequence[Census]]],
    watch: Watch,
) -> list[Check]:
    """Check the log, and every projection against it."""
    newest = await Log(client).newest_of_lanes()
    async with AsyncExitStack() as open_:
        snapshots: list[Snapshot] = []
        checks: list[Check] = []
        for projection, wanted in censuses:
            db = await open_.enter_async_context(
                await connect(postgres_url, schema=projection.schema)
            )
            try:
                snapshots.append(await _snapshot(db, projection, wanted, newest))
            except psycopg.errors.UndefinedTable:
                checks.append(_without_tables(projection))
        state = (await log_state(client))[1]
        walked = await _walked(client, state.last_seq, snapshots, watch)
        after = (await log_state(client))[1]
        found = _of_log(walked, state.last_seq, after)
        for snapshot in snapshots:
            checks += await _of_projection(snapshot, state)
    return [*found, *checks]


async def _walked(
    client: Client, end: int, snapshots: Sequence[Snapshot], watch: Watch
) -> Walked:
    walked = Walked()
    async for batch in walk(client, end=end):
        for pumped in batch:
            event = walked.take(pumped)
            if event:
                for snapshot in snapshots:
                    snapshot.note(event)
        watch(walked.last, end)
        await asyncio.sleep(0)
    if walked.last < end:
        walked.gap(walked.last + 1, end)
    return walked


def _of_log(walked: Walked, end: int, state: LogState) -> list[Check]:
    removed = {seq for seq in state.removed() if seq <= end}
    absent = [
        seq for a, b in walked.missing for seq in range(a, b + 1) if seq not in removed
    ]
    gone = sum(b - a + 1 for a, b in walked.missing) - len(absent)
    continuity = [f"{told} missing and nobody removed it" for told in _ranges(absent)]
    if state.lost:
        continuity.append(f"the server says that it lost {state.lost.bytes:,} bytes")
    unexplained = _unexplained(walked, absent)
    purges = [f"{told} removed, and no deletion explains it" for told in unexplained]
    return [
        _check("log: events stored", end - gone, walked.events, continuity),
        _check(
            "log: hashes",
            walked.events,
            walked.events - len(walked.wrong["hashes"]),
            walked.wrong["hashes"],
        ),
        _check(
            "log: readable",
            walked.events,
            walked.events - len(walked.wrong["contents"]),
            walked.wrong["contents"],
        ),
        _check("log: purged", gone, gone, purges),
    ]


def _unexplained(walked: Walked, absent: Sequence[int]) -> list[str]:
    """Name the gaps that no erasure, before or shortly after, can have made."""
    seq, time = max(walked.erased_at, default=(0, -GRACE_MS))
    lost = set(absent)
    found = [
        at
        for first, last in walked.missing
        if first > seq and walked.times[first] > time + GRACE_MS
        for at in range(first, last + 1)
        if at not in lost
    ]
    return _ranges(found)


async def _snapshot(
    db: Connection,
    projection: Projection,
    censuses: Sequence[Census],
    newest: dict[int, int],
) -> Snapshot:
    """Wait until the projection has what the log has, then hold it still for us."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CATCH_UP_S
    while _lag(await _lanes(db), newest) and loop.time() < deadline:
        await asyncio.sleep(LOOK_EVERY_S)
    await db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    until = await _lanes(db)
    parked = await (await db.execute("SELECT seq FROM dead_letter")).fetchall()
    rolls = [Roll(census) for census in censuses]
    for roll in rolls:
        roll.rows, roll.checksum = await _sum(db, roll.census)
    return Snapshot(
        projection=projection,
        db=db,
        until=until,
        parked={seq for (seq,) in parked},
        rolls=rolls,
        lag=_lag(until, newest),
    )


async def _lanes(db: Connection) -> dict[int, int]:
    found = await db.execute("SELECT partition, seq FROM checkpoint")
    return dict(await found.fetchall())


def _lag(lanes: dict[int, int], newest: dict[int, int]) -> int:
    return max((seq - lanes.get(lane, 0) for lane, seq in newest.items()), default=0)


_SUM = """
SELECT count(*), coalesce(sum(('x' || left(md5({key}), 16))::bit(64)::bigint::numeric), 0)
FROM {table}
"""
_KEYS = """
SELECT ('x' || left(md5({key}), 16))::bit(64)::bigint, {key}, user_id FROM {table}
"""


def _statement(statement: str, census: Census) -> sql.Composed:
    columns = [
        sql.SQL("{}::text").format(sql.Identifier(column)) for column in census.key
    ]
    return sql.SQL(statement).format(
        key=sql.SQL(" || ").join(columns), table=sql.Identifier(census.table)
    )


def _mark(key: tuple[UUID, ...]) -> int:
    """Turn a key into a number, as the database does in _SUM."""
    text = "".join(map(str, key)).encode()
    digest = md5(text, usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _sum(db: Connection, census: Census) -> tuple[int, int]:
    row = await (await db.execute(_statement(_SUM, census))).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def _of_projection(snapshot: Snapshot, state: LogState) -> list[Check]:
    name = snapshot.projection.name
    head = max(snapshot.until.values(), default=0)
    problems = []
    if head > state.last_seq:
        problems.append(
            f"has applied the log up to {head}, which now ends at {state.last_seq}:"
            " the log has lost events"
        )
    if snapshot.lag > 0:
        problems.append(f"is {snapshot.lag:,} behind the log")
    if snapshot.parked:
        problems.append(f"{len(snapshot.parked):,} events wait as dead letters")
    applied = min(head, state.last_seq)
    return [
        _check(f"{name}: position", head, applied, problems),
        *[await _of_table(snapshot, roll) for roll in snapshot.rolls],
    ]


async def _of_table(snapshot: Snapshot, roll: Roll) -> Check:
    what = f"{snapshot.projection.name}: {roll.census.table}"
    told = roll.all()
    if (len(told), sum(told)) == (roll.rows, roll.checksum):
        return _check(what, len(told), roll.rows, [])
    statement = _statement(_KEYS, roll.census)
    rows = await (await snapshot.db.execute(statement)).fetchall()
    there = {mark for mark, _, _ in rows}
    problems = [
        f"what sequence {seq} tells of is not there"
        for mark, seq in told.items()
        if mark not in there
    ]
    problems += [
        f"{key} is there, and no event tells of it"
        for mark, key, user in rows
        if mark not in told and user not in snapshot.late
    ]
    if not problems:  # what was erased while we were looking
        return _check(what, roll.rows, roll.rows, [])
    return _check(what, len(told), roll.rows, problems)


def _without_tables(projection: Projection) -> Check:
    return _check(f"{projection.name}: position", 0, 0, ["has no tables"])


def _check(what: str, expected: int, found: int, problems: list[str]) -> Check:
    shown = problems[:SHOWN]
    if len(problems) > SHOWN:
        shown.append(f"and {len(problems) - SHOWN:,} more")
    return Check(what=what, expected=expected, found=found, problems=shown)


def _ranges(seqs: Sequence[int]) -> list[str]:
    """Say runs of sequences in words."""
    runs: list[list[int]] = []
    for seq in seqs:
        if runs and runs[-1][1] == seq - 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    return [
        f"sequence {a} is" if a == b else f"sequences {a} to {b} are" for a, b in runs
    ]
