"""Sync calls: from a client's JSON to events on disk. No database on this path."""

import asyncio
import re
from uuid import UUID

import msgspec
from litestar import Response, get, post

from services.gateway.batch import Failed, Item, append_items, read_batch
from services.gateway.bodies import MIB, body_of
from services.gateway.gateway import (
    AnyRequest,
    Gateway,
    correlation_of,
    gateway_of,
    json_answer,
)
from services.gateway.handlers import now_ms
from services.gateway.keyring import Key
from services.gateway.normalise import decode_body, message_synced, session_synced
from services.gateway.openapi import answers, described
from services.gateway.wire import BATCH, MESSAGE, SESSION
from shared import ids
from shared.errors import Unavailable
from shared.events import Event, encode
from shared.log import MAX_EVENT, Entry
from shared.requests import ExternalIds, ListExternalIds


MAX_BATCH = 64 * MIB
HEAVY = 8 * MIB
DEADLINE_S = 8.0
QUEUE_S = 1.5
"""Both together stay below the ten seconds that a client must never wait."""

IGNORED = {"ignored": "This session was deleted; nothing of it is kept."}

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class SessionSaved(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The session is on disk: our id, its place in the log, its SHA-256 there."""

    ok: bool = True
    session_id: str
    seq: int
    hash: str


class MessageSaved(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The message is on disk: our id, its place in the log, its SHA-256 there."""

    ok: bool = True
    message_id: str
    seq: int
    hash: str


class BatchSaved(msgspec.Struct, frozen=True, kw_only=True):
    """How many were stored, and why each of the others was not."""

    ok: bool = True
    sessions: int
    messages: int
    errors: list[str]
    items: list[Failed]
    seq: int


class SessionIds(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The client's own ids of all its sessions."""

    session_ids: list[str]


@post(
    "/sync/session",
    operation_id="syncSession",
    tags=["sync"],
    status_code=200,
    operation_class=described(body=SESSION),
    responses=answers(SessionSaved),
)
async def sync_session(request: AnyRequest) -> Response[bytes]:
    """Store what is known about a session; needs the scope `sync`.

    Fields that are absent or null stay as they are; unknown keys are kept. The same
    `externalId` always means the same session, so sending again is harmless.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "sync")
    event = session_synced(decode_body(await body_of(request, limit=MAX_EVENT)))
    session = ids.session_id(key.user, event.external_id)
    if gateway.keyring.is_erased(session):
        return json_answer(encode({"ok": True, "sessionId": str(session)} | IGNORED))
    appended = await gateway.log.append(_entry(request, key, session, event))
    gateway.recent.note(key.user, session, appended.seq)
    answer = SessionSaved(session_id=str(session), seq=appended.seq, hash=appended.hash)
    return json_answer(encode(answer))


@post(
    "/sync/message",
    operation_id="syncMessage",
    tags=["sync"],
    status_code=200,
    operation_class=described(body=MESSAGE),
    responses=answers(MessageSaved),
)
async def sync_message(request: AnyRequest) -> Response[bytes]:
    """Store a message; needs the scope `sync`.

    Its session need not be known yet. Without `parts`, stored parts stay. The same
    pair of ids always means the same message, so sending again is harmless.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "sync")
    event = message_synced(decode_body(await body_of(request, limit=MAX_EVENT)))
    session = ids.session_id(key.user, event.session_external_id)
    if gateway.keyring.is_erased(session):
        message = ids.message_id(session, event.external_id)
        return json_answer(encode({"ok": True, "messageId": str(message)} | IGNORED))
    appended = await gateway.log.append(_entry(request, key, session, event))
    gateway.recent.note(key.user, session, appended.seq)
    answer = MessageSaved(
        message_id=str(ids.message_id(session, event.external_id)),
        seq=appended.seq,
        hash=appended.hash,
    )
    return json_answer(encode(answer))


@post(
    "/sync/batch",
    operation_id="syncBatch",
    tags=["sync"],
    status_code=200,
    operation_class=described(body=BATCH),
    responses=answers(BatchSaved),
)
async def sync_batch(request: AnyRequest) -> Response[bytes]:
    """Store up to 10,000 sessions and messages of 64 MB together; needs `sync`.

    Every item stands for itself: `items` lists those that were refused and why, all
    others are on disk. Sessions are stored before messages, each in the given order.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "sync")
    if int(request.headers.get("content-length", MAX_BATCH)) <= HEAVY:
        return json_answer(await _saved_batch(request, gateway, key))
    try:
        async with asyncio.timeout(QUEUE_S):
            await gateway.heavy.acquire()
    except TimeoutError as error:
        raise Unavailable("Other large batches are waiting; try again.") from error
    try:
        return json_answer(await _saved_batch(request, gateway, key))
    finally:
        gateway.heavy.release()


async def _saved_batch(request: AnyRequest, gateway: Gateway, key: Key) -> bytes:
    body = decode_body(await body_of(request, limit=MAX_BATCH))
    items, failed = await read_batch(body, key.user)
    items = [item for item in items if not gateway.keyring.is_erased(item.session)]

    def entry(item: Item) -> Entry:
        return _entry(request, key, item.session, item.event)

    try:
        async with asyncio.timeout(DEADLINE_S):
            saved, over, places = await append_items(gateway.log, items, entry)
    except TimeoutError as error:
        raise Unavailable("The log is too slow at the moment; try again.") from error
    for session, seq in places.items():
        gateway.recent.note(key.user, session, seq)
    failed += over
    answer = BatchSaved(
        sessions=sum(item.kind == "session" for item in saved),
        messages=sum(item.kind == "message" for item in saved),
        errors=[failure.line() for failure in failed],
        items=failed,
        seq=max(places.values(), default=0),
    )
    return encode(answer)


@get(
    "/sync/sessions/list",
    operation_id="listSyncedSessions",
    tags=["sync"],
    responses=answers(SessionIds),
)
async def list_synced_sessions(request: AnyRequest) -> Response[bytes]:
    """List the client's own ids of all sessions; needs the scope `sync`.

    Contains everything that any sync call of this user has acknowledged before.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "sync")
    try:
        async with asyncio.timeout(DEADLINE_S):
            found = await _external_ids(gateway, key.user)
    except TimeoutError as error:
        raise Unavailable(
            "The list takes too long at the moment; try again."
        ) from error
    return json_answer(encode(SessionIds(session_ids=found)))


async def _external_ids(gateway: Gateway, user: UUID) -> list[str]:
    """Collect every page, the first one not before all of the user's events are in."""
    question = ListExternalIds(user=user, after=await gateway.log.heads(user))
    found: list[str] = []
    while True:
        page: ExternalIds = await gateway.bus.answer(question)
        found += page.session_ids
        if page.next_cursor is None:
            return found
        question = ListExternalIds(user=user, cursor=page.next_cursor)


def _entry(request: AnyRequest, key: Key, session: UUID, event: Event) -> Entry:
    trace = request.headers.get("traceparent")
    return Entry(
        event=event,
        user=key.user,
        session=session,
        time=now_ms(),
        correlation_id=correlation_of(request),
        trace=trace if trace and _TRACEPARENT.fullmatch(trace) else None,
    )


ROUTES = [sync_session, sync_message, sync_batch, list_synced_sessions]
