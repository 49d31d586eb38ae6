"""Fields: where each may be found in what a client sent, and how it is read.

Clients spell the same field in several ways, so a line of the table names them all,
in order of preference. The first place that yields a value wins; whatever no field
took is kept for `extra`.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from services.gateway.normalise.values import (
    Json,
    blocks,
    content_text,
    cost,
    count,
    identifier,
    label,
    message_text,
    model,
    moment,
    parts,
    role,
    source,
    text,
)
from shared.errors import Invalid


Place: TypeAlias = str | tuple[str, ...]
"""A key, or the way down to one through nested objects."""
Reader: TypeAlias = Callable[[Any, str], Any]


class Field(NamedTuple):
    name: str
    keys: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    read: Reader
    missing: str | None
    """What to say without it, where it is required."""


class Table(NamedTuple):
    fields: tuple[Field, ...]
    keys: frozenset[str]


def _field(name: str, read: Reader, places: str, missing: str | None = None) -> Field:
    """Name the places, best first; a dot leads into an object.

    Keys of several words are accepted in snake_case too. They come before those of
    one word, which other objects also use.
    """
    keys = [place for place in places.split() if "." not in place]
    words = [key for key in keys if key != _snake(key)]
    paths = (tuple(place.split(".")) for place in places.split() if "." in place)
    ordered = dict.fromkeys([*words, *map(_snake, words), *keys])
    return Field(name, tuple(ordered), tuple(paths), read, missing)


def _snake(name: str) -> str:
    return re.sub("(?<=[a-z])([A-Z])", r"_\1", name).lower()


def _table(*fields: Field) -> Table:
    return Table(fields, frozenset(key for field in fields for key in field.keys))


_NO_SESSION_ID = "Missing externalId or sessionId"
_SHARED = (
    _field(
        "model", model, "model modelID model.modelID model.model model.id model.name"
    ),
    _field("provider", label, "provider providerID model.providerID model.provider"),
    _field("source", source, "source"),
    _field("prompt_tokens", count, "promptTokens inputTokens tokens.input"),
    _field("completion_tokens", count, "completionTokens outputTokens tokens.output"),
    _field(
        "cache_read_tokens",
        count,
        "cacheReadTokens cacheReadInputTokens tokens.cache.read",
    ),
    _field(
        "cache_write_tokens",
        count,
        "cacheWriteTokens cacheCreationInputTokens tokens.cache.write",
    ),
    _field("reasoning_tokens", count, "reasoningTokens tokens.reasoning"),
    _field("cost", cost, "cost"),
    _field("duration_ms", count, "durationMs"),
    _field("created_at", moment, "createdAt timestamp time.created"),
)
SESSION = _table(
    _field(
        "external_id", identifier, "externalId sessionId sessionID id", _NO_SESSION_ID
    ),
    _field("title", text, "title"),
    _field("project_path", label, "projectPath cwd directory"),
    _field("project_name", label, "projectName"),
    _field("message_count", count, "messageCount"),
    _field("tool_call_count", count, "toolCallCount"),
    _field("end_reason", label, "endReason"),
    *_SHARED,
)
MESSAGE = _table(
    _field(
        "session_external_id",
        identifier,
        "sessionExternalId sessionId sessionID",
        "Missing sessionExternalId",
    ),
    _field(
        "external_id",
        identifier,
        "externalId messageId messageID id",
        "Missing externalId",
    ),
    _field("role", role, "role"),
    _field("text_content", message_text, "textContent text"),
    _field("text_content", content_text, "content"),
    _field("parts", parts, "parts"),
    _field("parts", blocks, "textContent text content"),
    *_SHARED,
)


def read(item: Json, table: Table) -> tuple[Json, list[Place]]:
    """Find each field's value, and say which places the values came from."""
    found: Json = {}
    taken: list[Place] = []
    for field in table.fields:
        if field.name in found:
            continue
        value, place = _find(item, field)
        if value is not None:
            found[field.name] = value
            taken.append(place)
        elif field.missing:
            raise Invalid(field.missing)
    return found, taken


def _find(item: Json, field: Field) -> tuple[Any, Place]:
    for key in field.keys:
        value = item.get(key)
        if value is not None:
            value = field.read(value, key)
            if value is not None:
                return value, key
    for path in field.paths:
        value = _at(item, path)
        if value is not None:
            value = field.read(value, ".".join(path))
            if value is not None:
                return value, path
    return None, ()


def _at(item: Json, path: tuple[str, ...]) -> Any:
    value: Any = item
    for key in path:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value


def rest(item: Json, taken: list[Place], table: Table) -> Json | None:
    """Keep what no field took; an empty value under a name we know is absent."""
    if len(taken) == len(item) and all(key in taken for key in item):
        return None
    others = {
        key: value
        for key, value in item.items()
        if key not in taken and not (key in table.keys and value in (None, ""))
    }
    for place in taken:
        if type(place) is tuple:
            others = _without(others, place)
    return others or None


def _without(tree: Json, path: tuple[str, ...]) -> Json:
    """Leave out one leaf, and the objects that are empty without it."""
    head, *tail = path
    inner = _without(tree[head], tuple(tail)) if tail else None
    return {
        key: inner if key == head else value
        for key, value in tree.items()
        if key != head or inner
    }
