"""A batch's items: each read for itself, each refused for itself, stored in order."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from services.gateway.normalise import message_synced, session_synced
from shared import ids
from shared.errors import ServiceError, TooLarge, Unprocessable
from shared.events import Event, MessageSynced, SessionSynced
from shared.log import BATCH_EVENTS, Entry, Log, seal


MAX_ITEMS = 10_000
AT_A_TIME = 200
"""Items read before other requests get their turn."""

Kind = Literal["session", "message"]


class Item(msgspec.Struct, frozen=True):
    """An item that can be stored."""

    index: int
    kind: Kind
    external_id: str
    session: UUID
    event: Event


class Failed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item that was refused: where, why, and the status it alone would get."""

    index: int
    kind: Kind
    ok: bool
    id: str | None = None
    error: str
    status: int

    def line(self) -> str:
        return f"{self.id or f'{self.kind} {self.index}'}: {self.error}"


async def read_batch(
    body: dict[str, Any], user: UUID
) -> tuple[list[Item], list[Failed]]:
    """Read sessions before messages, each list in its order."""
    sessions, messages = _list(body, "sessions"), _list(body, "messages")
    if len(sessions) + len(messages) > MAX_ITEMS:
        raise TooLarge(f"A batch may have {MAX_ITEMS:,} items at most.")
    items: list[Item] = []
    failed: list[Failed] = []
    readers: tuple[tuple[Kind, list[Any], Reader], ...] = (
        ("session", sessions, _session),
        ("message", messages, _message),
    )
    for kind, given, read in readers:
        for index, raw in enumerate(given):
            try:
                items.append(read(index, _object(raw), user))
            except ServiceError as error:
                failed.append(_failed(index, kind, _name(kind, raw), error))
            if index % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)
    return items, failed


Reader = Callable[[int, dict[str, Any], UUID], Item]


def _session(index: int, raw: dict[str, Any], user: UUID) -> Item:
    event: SessionSynced = session_synced(raw)
    session = ids.session_id(user, event.external_id)
    return Item(index, "session", event.external_id, session, event)


def _message(index: int, raw: dict[str, Any], user: UUID) -> Item:
    event: MessageSynced = message_synced(raw)
    session = ids.session_id(user, event.session_external_id)
    return Item(index, "message", event.external_id, session, event)


async def append_items(
    log: Log, items: Sequence[Item], entry: Callable[[Item], Entry]
) -> tuple[list[Item], list[Failed], dict[UUID, int]]:
    """Store items in order.

    Return those stored, those too large, and where each session's last one lies.
    """
    saved: list[Item] = []
    failed: list[Failed] = []
    places: dict[UUID, int] = {}
    for start in range(0, len(items), BATCH_EVENTS):
        run = items[start : start + BATCH_EVENTS]
        entries = [entry(item) for item in run]
        try:
            appended = await log.append_batch(entries)
        except TooLarge:
            over = _too_large(run, entries)
            failed += over.values()
            run = [item for at, item in enumerate(run) if at not in over]
            fitting = [one for at, one in enumerate(entries) if at not in over]
            appended = await log.append_batch(fitting)
        saved += run
        for item, one in zip(run, appended, strict=True):
            places[item.session] = one.seq
    return saved, failed, places


def _too_large(items: Sequence[Item], entries: Sequence[Entry]) -> dict[int, Failed]:
    """Find the items that no message of the log can hold, by their place."""
    over: dict[int, Failed] = {}
    for at, (item, entry) in enumerate(zip(items, entries, strict=True)):
        try:
            seal(entry)
        except TooLarge as error:
            over[at] = _failed(item.index, item.kind, item.external_id, error)
    return over


def _list(body: dict[str, Any], name: str) -> list[Any]:
    given = body.get(name)
    if given is None:
        return []
    if not isinstance(given, list):
        raise Unprocessable(f"{name} must be a list.")
    return given


def _object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Unprocessable("An item must be a JSON object.")
    return raw


def _name(kind: Kind, raw: Any) -> str | None:
    if not isinstance(raw, dict):
        return None
    name = raw.get("externalId") or (
        raw.get("sessionId") if kind == "session" else None
    )
    return name[:200] if isinstance(name, str) else None


def _failed(index: int, kind: Kind, name: str | None, error: ServiceError) -> Failed:
    return Failed(
        index=index,
        kind=kind,
        ok=False,
        id=name,
        error=str(error),
        status=error.status,
    )
