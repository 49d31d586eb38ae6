"""Every event, the envelope it travels in, and how old and unknown ones are read.

Events are facts. Their payloads are additive: fields are never renamed or removed,
and a new field has a default. Times are integer milliseconds since the epoch, UTC.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact that the log keeps for ever."""

    version: ClassVar[int] = 1
    erases: ClassVar[bool] = False
    """Whether it ends what it is about: then nothing may hold it back."""


class SessionSynced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A client told us about a session; fields it did not send are absent."""

    external_id: str
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
    """Keys the client sent that we have no name for, as they were."""


class MessageSynced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A client told us about a message; without `parts`, stored parts stay."""

    session_external_id: str
    external_id: str
    role: str | None = None
    text_content: str | None = None
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
    created_at: int | None = None
    parts: list[dict[str, Any]] | None = None
    """In the client's order; each has a `type` and usually a `content`."""
    extra: dict[str, Any] | None = None
    """Keys the client sent that we have no name for, as they were."""


class SessionRenamed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person gave a session a title; it outranks every title a client sends."""

    title: str


class SessionShared(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A session became readable by anyone who knows the slug."""

    slug: str


class SessionUnshared(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A session is private again; its slug is dead for ever."""


class SessionDeleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A session is gone for good; later syncs of it are ignored."""

    erases: ClassVar[bool] = True


class UserRegistered(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Someone may own sessions and keys."""

    name: str
    email: str | None = None


class UserErased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A user and all that was theirs is gone for good; written once to every lane."""

    erases: ClassVar[bool] = True


class ApiKeyIssued(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A key was issued; only its SHA-256 is kept."""

    key_id: UUID
    name: str
    hash: str
    prefix: str
    """The first characters of the key, for telling keys apart on a screen."""
    scopes: tuple[str, ...]
    expires_at: int | None = None


class ApiKeyRevoked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A key must not be accepted any more."""

    key_id: UUID


class ApiKeyUsed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A key was used; written at most once an hour per key and gateway."""

    key_id: UUID


EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        SessionSynced,
        MessageSynced,
        SessionRenamed,
        SessionShared,
        SessionUnshared,
        SessionDeleted,
        UserRegistered,
        UserErased,
        ApiKeyIssued,
        ApiKeyRevoked,
        ApiKeyUsed,
    )
}

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""Pure functions from the payload of (type, version) to that of the next version."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What surrounds every event; `data` stays raw so that unknown types survive."""

    id: UUID
    type: str
    v: int
    time: int
    """When the gateway or service wrote it, milliseconds since the epoch."""
    user: UUID
    session: UUID | None = None
    correlation_id: str
    """The request that began this thread of events."""
    causation_id: str | None = None
    """The event or command that this one follows from."""
    data: msgspec.Raw


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Recorded(msgspec.Struct, Generic[E_co], frozen=True, kw_only=True):
    """An event with its place in the log."""

    seq: int
    partition: int
    id: UUID
    time: int
    user: UUID
    session: UUID | None
    correlation_id: str
    event: E_co


class NewerVersion(Exception):
    """An event of a version this code does not know: to be parked, not guessed."""


encode = msgspec.json.Encoder(uuid_format="hex").encode
decode_envelope = msgspec.json.Decoder(Envelope).decode
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in EVENTS.items()}


def open_event(envelope: Envelope) -> Event | None:
    """Read the payload, upcasting old versions; None for a type we have never heard of.

    Raises NewerVersion for a version newer than ours, msgspec.ValidationError for
    a payload that breaks its own contract.
    """
    kind = EVENTS.get(envelope.type)
    if kind is None:
        return None
    if envelope.v == kind.version:
        return _DECODERS[envelope.type].decode(envelope.data)
    if envelope.v > kind.version:
        raise NewerVersion(
            f"{envelope.type} version {envelope.v}; this service knows {kind.version}"
        )
    return msgspec.convert(upcast(envelope), kind)


def upcast(envelope: Envelope) -> dict[str, Any]:
    """Carry an old payload forward, one version at a time."""
    payload: dict[str, Any] = msgspec.json.decode(envelope.data)
    for version in range(envelope.v, EVENTS[envelope.type].version):
        payload = UPCASTERS[envelope.type, version](payload)
    return payload


def record(payload: bytes, *, seq: int, partition: int) -> Recorded[Event] | None:
    """Read what the log stores at a place; None for an unknown type."""
    envelope = decode_envelope(payload)
    event = open_event(envelope)
    if event is None:
        return None
    return Recorded(
        seq=seq,
        partition=partition,
        id=envelope.id,
        time=envelope.time,
        user=envelope.user,
        session=envelope.session,
        correlation_id=envelope.correlation_id,
        event=event,
    )
