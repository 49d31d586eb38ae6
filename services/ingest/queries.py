"""The questions ingest answers; every one is bound to its user in the statement itself."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from services.ingest.message import Message
from services.ingest.session import Session
from services.ingest.tables import MESSAGE, SESSION
from services.ingest.views import Halves, message_view, part_view, public, summary
from shared import ids
from shared.errors import Invalid, NotFound
from shared.postgres import Connection, Pool, reading
from shared.progress import passed
from shared.requests import (
    ExternalIds,
    GetPublicSession,
    GetSession,
    GetStats,
    ListExternalIds,
    ListSessions,
    MessageView,
    ModelUsage,
    PartView,
    PublicSession,
    SessionDetail,
    SessionPage,
    Stats,
)


PAGE_BYTES = 4 * 2**20
"""A page of messages holds at most this much content, but always one message."""

_SORTS: dict[str, LiteralString] = {
    "updated": "last_event_at",
    "created": "shown_created",
    "tokens": "shown_tokens",
    "cost": "shown_cost",
    "duration": "shown_duration",
}
_FILTERS: dict[str, LiteralString] = {
    "source": "shown_source = %(source)s",
    "model": "shown_model = %(model)s",
    "provider": "shown_provider = %(provider)s",
    "project": "(shown_project = %(project)s OR project_path = %(project)s)",
    "since": "shown_created >= %(since)s",
    "until": "shown_created < %(until)s",
    "is_public": "(slug IS NOT NULL) = %(is_public)s",
}
_SESSION_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, SESSION.columns))


async def list_sessions(pool: Pool, asked: ListSessions) -> SessionPage:
    """List a user's sessions, a page at a time."""
    await passed(pool, asked.after)
    column = sql.Identifier(_SORTS[asked.sort])
    direction, beyond = ("DESC", "<") if asked.order == "desc" else ("ASC", ">")
    conditions: list[sql.Composable] = [sql.SQL("user_id = %(user)s")]
    values: dict[str, Any] = {"user": asked.user, "limit": asked.limit + 1}
    for name, condition in _FILTERS.items():
        if getattr(asked, name) is not None:
            conditions.append(sql.SQL(condition))
            values[name] = getattr(asked, name)
    if asked.cursor:
        values["at"], values["id"] = _open_cursor(
            asked.cursor, tuple[int | float, UUID]
        )
        conditions.append(
            sql.SQL("({}, id) {} (%(at)s, %(id)s)").format(column, sql.SQL(beyond))
        )
    statement = sql.SQL(
        "SELECT {columns} FROM session WHERE {where}"
        " ORDER BY {column} {direction}, id {direction} LIMIT %(limit)s"
    ).format(
        columns=_SESSION_COLUMNS,
        where=sql.SQL(" AND ").join(conditions),
        column=column,
        direction=sql.SQL(direction),
    )
    async with reading(pool) as db:
        rows = await (await db.execute(statement, values)).fetchall()
    found = [_session(row) for row in rows[: asked.limit]]
    more = len(rows) > asked.limit
    last = found[-1] if found else None
    return SessionPage(
        sessions=[summary(row) for row in found],
        next_cursor=_cursor(getattr(last, _SORTS[asked.sort]), last.id)
        if more and last
        else None,
    )


async def get_session(pool: Pool, asked: GetSession) -> SessionDetail:
    """Show one session with a page of its messages, oldest first."""
    await passed(pool, asked.after)
    async with reading(pool) as db:
        row = await _find(db, asked.user, asked.id)
        messages, cursor = await _messages(db, row, asked.limit, asked.cursor)
    return SessionDetail(session=summary(row), messages=messages, next_cursor=cursor)


async def get_public_session(pool: Pool, asked: GetPublicSession) -> PublicSession:
    """Show a shared session to anyone who knows its slug."""
    await passed(pool, asked.after)
    async with reading(pool) as db:
        found = await db.execute(
            sql.SQL("SELECT {} FROM session WHERE slug = %s").format(_SESSION_COLUMNS),
            (asked.slug,),
        )
        row = await found.fetchone()
        if row is None:
            raise NotFound("There is no public session under this address.")
        session = _session(row)
        messages, cursor = await _messages(db, session, asked.limit, asked.cursor)
    return public(session, messages, cursor)


async def list_external_ids(pool: Pool, asked: ListExternalIds) -> ExternalIds:
    """List the client's own ids of a user's sessions."""
    await passed(pool, asked.after)
    start = _open_cursor(asked.cursor, UUID) if asked.cursor else UUID(int=0)
    async with reading(pool) as db:
        rows = await (
            await db.execute(
                "SELECT id, external_id FROM session WHERE user_id = %s AND id > %s"
                " ORDER BY id LIMIT %s",
                (asked.user, start, asked.limit + 1),
            )
        ).fetchall()
    page = rows[: asked.limit]
    return ExternalIds(
        session_ids=[external_id for _, external_id in page],
        next_cursor=_cursor(page[-1][0]) if len(rows) > asked.limit else None,
    )


async def get_stats(pool: Pool, asked: GetStats) -> Stats:
    """Add up a user's sessions."""
    await passed(pool, asked.after)
    async with reading(pool) as db:
        rows = await (
            await db.execute(
                "SELECT coalesce(shown_model, 'unknown'), count(*), sum(messages),"
                " sum(shown_tokens), sum(shown_cost), sum(shown_duration)"
                " FROM session WHERE user_id = %s GROUP BY 1 ORDER BY 4 DESC, 1",
                (asked.user,),
            )
        ).fetchall()
    return Stats(
        session_count=sum(row[1] for row in rows),
        message_count=int(sum(row[2] for row in rows)),
        total_tokens=int(sum(row[3] for row in rows)),
        total_cost=round(sum(row[4] for row in rows), 6),
        total_duration_ms=int(sum(row[5] for row in rows)),
        model_usage={
            model: ModelUsage(
                tokens=int(tokens), cost=round(cost, 6), sessions=sessions
            )
            for model, sessions, _, tokens, cost, _ in rows
        },
    )


async def _find(db: Connection, user: UUID, id_: str) -> Session:
    """Find a session by our id or the client's; not there and not yours look the same."""
    candidates = ids.session_candidates(user, id_)
    found = await db.execute(
        sql.SQL(
            "SELECT {} FROM session WHERE user_id = %s AND id = ANY(%s)"
            " ORDER BY id <> %s LIMIT 1"
        ).format(_SESSION_COLUMNS),
        (user, candidates, candidates[0]),
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound("Session not found")
    return _session(row)


_MESSAGES = sql.SQL(
    """
SELECT {columns}, b.text_content, b.extra
FROM (
  SELECT *, sum(size) OVER (ORDER BY created_at, first_seq) - size AS before
  FROM (
    SELECT m.*, coalesce(octet_length(s.text_content), 0) + coalesce(
             (SELECT sum(pg_column_size(p.content)) FROM part p
              WHERE (p.user_id, p.session_id, p.message_id)
                  = (m.user_id, m.session_id, m.id)), 0) AS size
    FROM message m JOIN message_body s USING (user_id, session_id, id)
    WHERE m.user_id = %(user)s AND m.session_id = %(session)s
      AND (m.created_at, m.first_seq) > (%(at)s, %(seq)s)
    ORDER BY m.created_at, m.first_seq LIMIT %(limit)s
  ) sized
) m JOIN message_body b USING (user_id, session_id, id)
WHERE m.before = 0 OR m.before < %(bytes)s
ORDER BY m.created_at, m.first_seq
"""
).format(
    columns=sql.SQL(", ").join(sql.Identifier("m", name) for name in MESSAGE.columns)
)


async def _messages(
    db: Connection, session: Session, limit: int, cursor: str | None
) -> tuple[list[MessageView], str | None]:
    at, seq = _open_cursor(cursor, tuple[int, int]) if cursor else (-(2**62), 0)
    values = {
        "user": session.user_id,
        "session": session.id,
        "at": at,
        "seq": seq,
        "limit": limit + 1,
        "bytes": PAGE_BYTES,
    }
    rows = await (await db.execute(_MESSAGES, values)).fetchall()
    width = len(MESSAGE.columns)
    page = [
        (Message(**dict(zip(MESSAGE.columns, row[:width], strict=True))), *row[width:])
        for row in rows[:limit]
    ]
    parts = await _parts(db, session, [message.id for message, _, _ in page])
    views = [
        message_view(message, text=text, extra=extra, parts=parts.get(message.id, []))
        for message, text, extra in page
    ]
    last = page[-1][0] if page else None
    if last is None or not await _is_more(db, session, last):
        return views, None
    return views, _cursor(last.created_at, last.first_seq)


async def _is_more(db: Connection, session: Session, last: Message) -> bool:
    found = await db.execute(
        "SELECT 1 FROM message WHERE user_id = %s AND session_id = %s"
        " AND (created_at, first_seq) > (%s, %s) LIMIT 1",
        (session.user_id, session.id, last.created_at, last.first_seq),
    )
    return await found.fetchone() is not None


async def _parts(
    db: Connection, session: Session, messages: list[UUID]
) -> dict[UUID, list[PartView]]:
    rows = await (
        await db.execute(
            "SELECT message_id, type, content, tool_name, call_id, is_result FROM part"
            " WHERE user_id = %s AND session_id = %s AND message_id = ANY(%s)"
            " ORDER BY message_id, index",
            (session.user_id, session.id, messages),
        )
    ).fetchall()
    halves = await _halves(db, session, {row[4] for row in rows if row[4]})
    parts: dict[UUID, list[PartView]] = {}
    for message, type_, content, tool, call, is_result in rows:
        parts.setdefault(message, []).append(
            part_view(
                type_,
                content,
                tool_name=tool,
                call_id=call,
                is_result=is_result,
                halves=halves,
            )
        )
    return parts


async def _halves(db: Connection, session: Session, calls: set[str]) -> Halves:
    if not calls:
        return {}
    rows = await db.execute(
        "SELECT call_id, is_result, message_id FROM part"
        " WHERE user_id = %s AND session_id = %s AND call_id = ANY(%s)",
        (session.user_id, session.id, list(calls)),
    )
    return {(call, is_result): message async for call, is_result, message in rows}


def _session(row: tuple[Any, ...]) -> Session:
    return Session(**dict(zip(SESSION.columns, row, strict=True)))


def _cursor(*place: Any) -> str:
    """Encode a place in an order; opaque to clients."""
    whole = place[0] if len(place) == 1 else place
    return urlsafe_b64encode(msgspec.json.encode(whole)).rstrip(b"=").decode()


def _open_cursor(cursor: str, kind: Any) -> Any:
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Invalid("This cursor is not one of ours.") from error
