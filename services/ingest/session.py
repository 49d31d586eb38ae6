"""A session: how what clients say of it adds up, and what its owner may decide. Pure."""

from collections import Counter
from typing import Any
from uuid import UUID

import msgspec

from services.ingest.derive import TITLE_SHORTEST
from services.ingest.message import Message
from shared.events import (
    Event,
    Recorded,
    SessionDeleted,
    SessionRenamed,
    SessionShared,
    SessionSynced,
    SessionUnshared,
)
from shared.models import infer_provider
from shared.table import clean


DEFAULT_SOURCE = "opencode"
"""The OpenCode plugin is the one that sends no source."""


class Session(msgspec.Struct, kw_only=True):
    """The session's row, column by column."""

    user_id: UUID
    id: UUID
    external_id: str = ""
    seq: int = 0
    title: str | None = None
    project_path: str | None = None
    project_name: str | None = None
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
    message_count: int | None = None
    tool_call_count: int | None = None
    end_reason: str | None = None
    created_at: int | None = None
    extra: dict[str, Any] | None = None
    duration_told_at: int | None = None
    end_told_at: int | None = None
    is_title_echo: bool = False
    renamed: str | None = None
    slug: str | None = None
    first_event_at: int = 0
    last_event_at: int = 0
    messages: int = 0
    tool_calls: int = 0
    sum_prompt: int = 0
    sum_completion: int = 0
    sum_cache_read: int = 0
    sum_cache_write: int = 0
    sum_reasoning: int = 0
    sum_cost: float = 0.0
    first_message_at: int | None = None
    last_message_at: int | None = None
    last_model: str | None = None
    last_provider: str | None = None
    last_model_at: int | None = None
    last_model_seq: int | None = None
    first_text: str | None = None
    first_text_at: int | None = None
    first_text_seq: int | None = None
    first_text_id: UUID | None = None
    languages: dict[str, int] = {}
    shown_title: str | None = None
    shown_project: str | None = None
    shown_model: str | None = None
    shown_provider: str | None = None
    shown_source: str = DEFAULT_SOURCE
    shown_tokens: int = 0
    shown_cost: float = 0.0
    shown_duration: int = 0
    shown_created: int = 0


_CLIENT_FIELDS = (
    "title", "project_path", "project_name", "model", "provider", "source",
    "prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "cost", "duration_ms", "message_count", "tool_call_count",
    "end_reason", "created_at",
)  # fmt: skip


STAND_INS = {"", "untitled", "untitled session", "new session", "unknown"}
"""What plugins send for a title or model they do not know."""


def _is_stand_in(field: str, value: object) -> bool:
    if field not in {"title", "model"}:
        return False
    return isinstance(value, str) and value.strip().lower() in STAND_INS


def touch(session: Session, event: Recorded[Event]) -> None:
    """Note that something was heard of the session."""
    session.seq = event.seq
    session.first_event_at = session.first_event_at or event.time
    session.last_event_at = max(session.last_event_at, event.time)


def merge(session: Session, said: SessionSynced, *, heard: int) -> None:
    """Take over what the client said; what it did not say stays as it was."""
    if said.title is not None and said.title != session.title:
        session.is_title_echo = False
    if said.duration_ms is not None:
        session.duration_told_at = heard
    if said.end_reason is not None:
        session.end_told_at = heard
    for field in _CLIENT_FIELDS:
        value = getattr(said, field)
        if value is not None and not _is_stand_in(field, value):
            setattr(session, field, clean(value) if isinstance(value, str) else value)
    if said.extra is not None:
        session.extra = {**(session.extra or {}), **said.extra}


def evolve(session: Session, event: Event) -> None:
    """Take over a decision."""
    match event:
        case SessionRenamed(title=title):
            session.renamed = clean(title)
        case SessionShared(slug=slug):
            session.slug = slug
        case SessionUnshared():
            session.slug = None


def count(session: Session, before: Message | None, now: Message) -> None:
    """Correct the sums: take the message's old share out, put the new one in."""
    if before:
        _add(session, before, -1)
    _add(session, now, +1)
    if now.model and now.role != "user":
        _consider_model(session, now)
    first = session.first_message_at
    session.first_message_at = (
        now.created_at if first is None else min(first, now.created_at)
    )
    session.last_message_at = max(session.last_message_at or 0, ended_at(now))
    if now.role == "user" and now.title:
        _consider_title(session, now)
        if session.first_text_id != now.id and echoes(session.title, now.title):
            session.is_title_echo = True


def must_recount(before: Message | None, now: Message) -> bool:
    """Say whether firsts and lasts can no longer be known from this message alone."""
    return before is not None and (
        before.created_at != now.created_at
        or before.role != now.role
        or (before.duration_ms or 0) > (now.duration_ms or 0)
        or (before.title is not None and now.title is None)
    )


def ended_at(message: Message) -> int:
    """Say when it ended: its duration after a given start, else when we heard of it."""
    if message.is_time_given:
        return message.created_at + (message.duration_ms or 0)
    return message.created_at


def _add(session: Session, message: Message, sign: int) -> None:
    session.messages += sign
    session.tool_calls += sign * message.tool_calls
    session.sum_prompt += sign * (message.prompt_tokens or 0)
    session.sum_completion += sign * (message.completion_tokens or 0)
    session.sum_cache_read += sign * (message.cache_read_tokens or 0)
    session.sum_cache_write += sign * (message.cache_write_tokens or 0)
    session.sum_reasoning += sign * (message.reasoning_tokens or 0)
    session.sum_cost = round(session.sum_cost + sign * (message.cost or 0.0), 9)
    named = message.text_languages + message.part_languages
    if named:
        counts = Counter(session.languages)
        for language in named:
            counts[language] += sign
        session.languages = {name: n for name, n in sorted(counts.items()) if n > 0}


def _consider_model(session: Session, message: Message) -> None:
    """Take the model of the last message in the conversation, not the last one heard."""
    place = (message.created_at, message.first_seq)
    if place >= (session.last_model_at or 0, session.last_model_seq or 0):
        session.last_model = message.model
        session.last_provider = message.provider or infer_provider(message.model or "")
        session.last_model_at, session.last_model_seq = place


def _consider_title(session: Session, message: Message) -> None:
    place = (message.created_at, message.first_seq)
    if session.first_text_id is None or session.first_text_id == message.id:
        is_first = True
    else:
        is_first = place < (session.first_text_at or 0, session.first_text_seq or 0)
    if is_first:
        session.first_text = message.title
        session.first_text_at, session.first_text_seq = place
        session.first_text_id = message.id


def echoes(title: str | None, prompt: str) -> bool:
    """Say whether a client's title is but the beginning of a prompt.

    The Claude Code plugin titles a session anew with the first prompt after every
    resume: the session is still about what it began with.
    """
    said = (title or "").removesuffix("...").rstrip("…").strip()
    return bool(said) and prompt.rstrip("…").startswith(said[:TITLE_SHORTEST])


LATE_MS = 10_000
"""Hooks of one turn arrive in any order, seconds apart."""


def is_stale(told_at: int | None, session: Session) -> bool:
    """Say whether the session went on after a client summed it up."""
    last = session.last_message_at or 0
    return told_at is not None and last > told_at + LATE_MS


def duration(session: Session) -> int | None:
    """Take the client's word, unless the session went on after it."""
    if session.duration_ms and not is_stale(session.duration_told_at, session):
        return session.duration_ms
    return spanned(session)


def show(session: Session) -> None:
    """Settle what a reader sees: the person's word, the client's, else what we derived."""
    session.shown_title = (
        session.renamed
        or (session.is_title_echo and session.first_text)
        or session.title
        or session.first_text
    )
    session.shown_project = session.project_name or _last_segment(session.project_path)
    session.shown_model = session.model or session.last_model
    session.shown_provider = session.provider or (
        infer_provider(session.model) if session.model else session.last_provider
    )
    session.shown_source = session.source or DEFAULT_SOURCE
    session.shown_tokens = (session.prompt_tokens or session.sum_prompt) + (
        session.completion_tokens or session.sum_completion
    )
    session.shown_cost = session.cost or session.sum_cost
    session.shown_duration = duration(session) or 0
    session.shown_created = session.created_at or min(
        session.first_message_at or session.first_event_at, session.first_event_at
    )


def _last_segment(path: str | None) -> str | None:
    pieces = [piece for piece in (path or "").replace("\\", "/").split("/") if piece]
    return pieces[-1] if pieces else None


def spanned(session: Session) -> int | None:
    """Measure from the first message to the end of the last; None without messages."""
    if session.first_message_at is None or session.last_message_at is None:
        return None
    return max(0, session.last_message_at - session.first_message_at)


def primary_language(session: Session) -> str | None:
    """Name the language of most code; ties go to the alphabet."""
    if not session.languages:
        return None
    return min(session.languages, key=lambda name: (-session.languages[name], name))


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions about a session depend on, read from the log itself."""

    is_there: bool = False
    is_deleted: bool = False
    title: str | None = None
    slug: str | None = None
    seq: int = 0


def stand(standing: Standing, event: Event, *, seq: int) -> Standing:
    """Fold one event, in log order, into the standing."""
    change = msgspec.structs.replace
    match event:
        case SessionDeleted():
            return change(standing, is_deleted=True, seq=seq)
        case SessionRenamed(title=title):
            return change(standing, title=title, seq=seq)
        case SessionShared(slug=slug):
            return change(standing, slug=slug, seq=seq)
        case SessionUnshared():
            return change(standing, slug=None, seq=seq)
    return change(standing, is_there=True, seq=seq)
