"""How what clients say of a message adds up: last writer wins, field by field. Pure."""

from typing import Any
from uuid import UUID

import msgspec

from services.ingest.derive import (
    Part,
    languages_in,
    languages_of_parts,
    read_parts,
    text_of,
    time_in_id,
    title_of,
)
from shared import ids
from shared.deadletters import NO_SESSION
from shared.events import MessageSynced, Recorded
from shared.table import clean, clean_json


class Message(msgspec.Struct, kw_only=True):
    """The message's row, without its body: what a session's sums need of it."""

    user_id: UUID
    session_id: UUID
    id: UUID
    external_id: str
    seq: int
    first_seq: int
    role: str = "unknown"
    model: str | None = None
    provider: str | None = None
    source: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    duration_ms: int | None = None
    created_at: int
    is_time_given: bool = False
    tool_calls: int = 0
    text_title: str | None = None
    part_title: str | None = None
    text_languages: list[str] = []
    part_languages: list[str] = []

    @property
    def title(self) -> str | None:
        """What the message begins with, in its text or else in its parts."""
        return self.text_title or self.part_title


class Body(msgspec.Struct, kw_only=True):
    """What a batch says of the message's content; None leaves the stored value."""

    text_content: str | None = None
    extra: dict[str, Any] | None = None
    parts: list[Part] | None = None


_CLIENT_FIELDS = (
    "role", "model", "provider", "source", "prompt_tokens", "completion_tokens",
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost",
    "duration_ms",
)  # fmt: skip


def message_key(event: Recorded[MessageSynced]) -> tuple[UUID, UUID, UUID]:
    session = event.session or NO_SESSION  # never none: messages are filed by session
    return event.user, session, ids.message_id(session, event.event.external_id)


def first_seen(event: Recorded[MessageSynced]) -> Message:
    """Begin a message; its time is what its id tells or when we heard of it.

    Either stands until a client says better.
    """
    user, session, message = message_key(event)
    told = time_in_id(event.event.external_id, heard=event.time)
    return Message(
        user_id=user,
        session_id=session,
        id=message,
        external_id=clean(event.event.external_id) or "",
        seq=event.seq,
        first_seq=event.seq,
        created_at=event.time if told is None else told,
    )


def merge(message: Message, body: Body, event: Recorded[MessageSynced]) -> None:
    """Take over what the client said; what it did not say stays as it was."""
    said = event.event
    message.seq = event.seq
    for field in _CLIENT_FIELDS:
        value = getattr(said, field)
        if value is not None:
            setattr(message, field, clean(value) if isinstance(value, str) else value)
    if said.created_at is not None:
        message.created_at = said.created_at
        message.is_time_given = True
    if said.text_content is not None:
        body.text_content = clean(said.text_content)
        message.text_languages = languages_in(said.text_content)
        message.text_title = clean(title_of(said.text_content))
    if said.parts is not None:
        _merge_parts(message, body, said)
    if said.extra is not None:
        body.extra = {**(body.extra or {}), **said.extra}


def _merge_parts(message: Message, body: Body, said: MessageSynced) -> None:
    parts = read_parts(said.parts or [], message_external_id=said.external_id)
    body.parts = parts
    message.tool_calls = sum(part.is_call for part in parts)
    message.part_languages = languages_of_parts(parts)
    spoken = " ".join(text_of(part) for part in parts if part.type == "text")
    message.part_title = clean(title_of(spoken))


def part_rows(message: Message, parts: list[Part]) -> list[tuple[Any, ...]]:
    """Lay out a message's parts in the client's order."""
    return [
        (
            message.user_id,
            message.session_id,
            message.id,
            index,
            message.seq,
            clean(part.type),
            clean(part.tool_name),
            clean(part.call_id),
            part.is_result,
            json_text(part.content),
        )
        for index, part in enumerate(parts)
    ]


def json_text(value: Any) -> str:
    """Encode JSON as Postgres can hold it."""
    text = msgspec.json.encode(value).decode()
    if "\\u0000" in text:
        text = msgspec.json.encode(clean_json(value)).decode()
    return text
