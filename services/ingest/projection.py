"""Folds the log into session truth: one load, one pure fold, one write per batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from services.ingest import message as messages
from services.ingest import session as sessions
from services.ingest.message import Body, Message, json_text, message_key, part_rows
from services.ingest.session import Session
from services.ingest.tables import (
    DDL,
    INDEXES,
    MESSAGE,
    MESSAGE_BODY,
    PART,
    SESSION,
    TOMBSTONE,
    USER_TOMBSTONE,
)
from shared.deadletters import key_of
from shared.events import (
    Event,
    MessageSynced,
    Recorded,
    SessionDeleted,
    SessionRenamed,
    SessionShared,
    SessionSynced,
    SessionUnshared,
    UserErased,
)
from shared.postgres import Connection
from shared.projection import Projection
from shared.table import clean


SessionKey = tuple[UUID, UUID]
MessageKey = tuple[UUID, UUID, UUID]


@dataclass(slots=True)
class Truth:
    """The rows a batch touches, as they are and as they become."""

    sessions: dict[SessionKey, Session]
    messages: dict[MessageKey, Message]
    known: set[MessageKey]
    buried: set[SessionKey]
    gone: set[UUID]
    """Users that are erased, whichever lane said so first."""
    erased: dict[UUID, int] = field(default_factory=dict)
    bodies: dict[MessageKey, Body] = field(default_factory=dict)
    graves: dict[SessionKey, int] = field(default_factory=dict)
    recount: set[SessionKey] = field(default_factory=set)


async def apply(db: Connection, batch: Sequence[Recorded[Event]]) -> None:
    """Bring the tables to where the batch leaves them."""
    truth = await load(db, batch)
    for event in batch:
        fold(truth, event)
    await save(db, truth)


async def load(db: Connection, batch: Sequence[Recorded[Event]]) -> Truth:
    """Read the stored rows that the batch is about."""
    session_keys = {key_of(event) for event in batch if event.session}
    message_keys = {
        message_key(event)  # type: ignore[arg-type]  # isinstance narrows the event, not its record
        for event in batch
        if isinstance(event.event, MessageSynced)
    }
    rows = await SESSION.select(db, list(session_keys))
    stored = [_struct(Session, SESSION.columns, row) for row in rows]
    known = [
        _struct(Message, MESSAGE.columns, row)
        for row in await MESSAGE.select(db, list(message_keys))
    ]
    buried = await TOMBSTONE.select(db, list(session_keys))
    gone = await USER_TOMBSTONE.select(db, list({(event.user,) for event in batch}))
    return Truth(
        sessions={(row.user_id, row.id): row for row in stored},
        messages={(row.user_id, row.session_id, row.id): row for row in known},
        known={(row.user_id, row.session_id, row.id) for row in known},
        buried={(user, session) for user, session, _ in buried},
        gone={user for user, _ in gone},
    )


def fold(truth: Truth, event: Recorded[Event]) -> None:
    """Apply one event to the rows; what is deleted stays deleted."""
    key = key_of(event)
    if isinstance(event.event, UserErased):
        _erase(truth, event.user, event.seq)
        return
    if event.user in truth.gone or key in truth.buried:
        return
    if isinstance(event.event, SessionDeleted):
        _bury(truth, key, event.seq)
        return
    session = truth.sessions.get(key)
    if session is None:
        if not isinstance(event.event, SessionSynced | MessageSynced):
            return  # a decision about what was never there
        session = truth.sessions[key] = Session(user_id=key[0], id=key[1])
    sessions.touch(session, event)
    match event.event:
        case SessionSynced() as said:
            session.external_id = clean(said.external_id) or ""
            sessions.merge(session, said, heard=event.time)
        case MessageSynced() as said:
            session.external_id = session.external_id or (
                clean(said.session_external_id) or ""
            )
            session.source = session.source or clean(said.source)
            _fold_message(truth, session, event)  # type: ignore[arg-type]  # matched above
        case decision:
            sessions.evolve(session, decision)


def _erase(truth: Truth, user: UUID, seq: int) -> None:
    """Forget all of a user; every lane says so after its own last event of theirs."""
    for key in [key for key in truth.sessions if key[0] == user]:
        _bury(truth, key, seq)
    truth.graves = {key: at for key, at in truth.graves.items() if key[0] != user}
    truth.gone.add(user)
    truth.erased[user] = max(seq, truth.erased.get(user, 0))


def _bury(truth: Truth, key: SessionKey, seq: int) -> None:
    truth.buried.add(key)
    truth.graves[key] = seq
    truth.sessions.pop(key, None)
    truth.recount.discard(key)
    for gone in [message for message in truth.messages if message[:2] == key]:
        del truth.messages[gone]
        truth.bodies.pop(gone, None)


def _fold_message(
    truth: Truth, session: Session, event: Recorded[MessageSynced]
) -> None:
    key = message_key(event)
    before = truth.messages.get(key)
    now = msgspec.structs.replace(before) if before else messages.first_seen(event)
    messages.merge(now, truth.bodies.setdefault(key, Body()), event)
    truth.messages[key] = now
    sessions.count(session, before, now)
    if sessions.must_recount(before, now):
        truth.recount.add(key[:2])


async def save(db: Connection, truth: Truth) -> None:
    """Write what has changed, one statement per table."""
    graves, users = list(truth.graves), [(user,) for user in truth.erased]
    for table in (SESSION, MESSAGE, MESSAGE_BODY, PART):
        await table.delete(db, graves)
    for table in (SESSION, MESSAGE, MESSAGE_BODY, PART, TOMBSTONE) if users else ():
        await table.delete(db, users)
    for user, seq in truth.erased.items():
        await db.execute(_ERASED, (user, seq))
    await TOMBSTONE.upsert(db, [(*key, seq) for key, seq in truth.graves.items()])
    changed = [truth.messages[key] for key in truth.bodies]
    await MESSAGE.upsert(db, [_row(row, MESSAGE.columns) for row in changed])
    await MESSAGE_BODY.upsert(
        db, [_body_row(row, truth.bodies[_key(row)]) for row in changed]
    )
    await _save_parts(db, truth, changed)
    if truth.recount:
        await _recount(db, truth)
    for session in truth.sessions.values():
        sessions.show(session)
    await SESSION.upsert(
        db, [_row(row, SESSION.columns) for row in truth.sessions.values()]
    )


_ERASED = """
INSERT INTO user_tombstone AS t (user_id, seq) VALUES (%s, %s)
ON CONFLICT (user_id) DO UPDATE SET seq = greatest(t.seq, excluded.seq)
"""


async def _save_parts(db: Connection, truth: Truth, changed: list[Message]) -> None:
    """Replace the parts of messages that came with parts; others keep theirs."""
    with_parts = [row for row in changed if truth.bodies[_key(row)].parts is not None]
    await PART.delete(db, [_key(row) for row in with_parts if _key(row) in truth.known])
    rows: list[tuple[Any, ...]] = []
    for row in with_parts:
        rows += part_rows(row, truth.bodies[_key(row)].parts or [])
    await PART.upsert(db, rows)


_RECOUNT = """
SELECT t.user_id, t.session_id, min(m.created_at),
       max(m.created_at + CASE WHEN m.is_time_given
                          THEN coalesce(m.duration_ms, 0) ELSE 0 END),
       f.title, f.created_at, f.first_seq, f.id
FROM unnest(%b::uuid[], %b::uuid[]) AS t (user_id, session_id)
JOIN message m USING (user_id, session_id)
LEFT JOIN LATERAL (
  SELECT coalesce(text_title, part_title) AS title, created_at, first_seq, id
  FROM message u
  WHERE u.user_id = t.user_id AND u.session_id = t.session_id
    AND u.role = 'user' AND coalesce(text_title, part_title) IS NOT NULL
  ORDER BY u.created_at, u.first_seq LIMIT 1
) f ON true
GROUP BY t.user_id, t.session_id, f.title, f.created_at, f.first_seq, f.id
"""


async def _recount(db: Connection, truth: Truth) -> None:
    """Find firsts and lasts again where a message has moved."""
    keys = list(truth.recount)
    found = await db.execute(
        _RECOUNT, ([user for user, _ in keys], [session for _, session in keys])
    )
    async for user, session_id, first, last, title, at, seq, message in found:
        session = truth.sessions[user, session_id]
        session.first_message_at, session.last_message_at = first, last
        session.first_text, session.first_text_at = title, at
        session.first_text_seq, session.first_text_id = seq, message


def _key(row: Message) -> MessageKey:
    return row.user_id, row.session_id, row.id


def _struct(kind: Any, columns: Iterable[str], row: tuple[Any, ...]) -> Any:
    return kind(**dict(zip(columns, row, strict=True)))


_JSON = {"extra", "languages", "text_languages", "part_languages"}


def _row(row: Any, columns: Iterable[str]) -> tuple[Any, ...]:
    return tuple(
        json_text(value) if name in _JSON and value is not None else value
        for name in columns
        for value in (getattr(row, name),)
    )


def _body_row(row: Message, body: Body) -> tuple[Any, ...]:
    extra = None if body.extra is None else json_text(body.extra)
    return row.user_id, row.session_id, row.id, row.seq, body.text_content, extra


PROJECTION = Projection(
    name="ingest-sessions",
    schema="ingest",
    tables=DDL,
    indexes=INDEXES,
    handles=(
        SessionSynced,
        MessageSynced,
        SessionRenamed,
        SessionShared,
        SessionUnshared,
        SessionDeleted,
        UserErased,
    ),
    apply=apply,
)
