"""Writes docs/events.md and docs/asyncapi.json from the code: `python docs/generate.py`."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from shared import requests, subjects
from shared.events import EVENTS, Envelope
from shared.requests import Command, Question, Request


HERE = Path(__file__).parent
WRITERS = {
    "SessionSynced": "gateway",
    "MessageSynced": "gateway",
    "UserRegistered": "gateway",
    "UserErased": "gateway",
    "ApiKeyIssued": "gateway",
    "ApiKeyRevoked": "gateway",
    "ApiKeyUsed": "gateway",
    "SessionRenamed": "ingest",
    "SessionShared": "ingest",
    "SessionUnshared": "ingest",
    "SessionDeleted": "ingest",
}
HEAD = f"""# Events

Every fact that OpenSync keeps, generated from `shared/events.py` by `make docs`.

An event is published to `ev.<type>.<user>.<session>` and stored in the stream
`{subjects.STREAM}` under `ev.<partition>.<type>.<user>.<session>`.
Ids in subjects are UUIDs in plain hex; `-` stands where there is no session.
The partition is one of {subjects.PARTITIONS}: the 32-bit FNV-1a hash of the user and
session tokens, so that every session's events are in order within one partition.

The body is the envelope below, as JSON.
The header `Content-Hash` is the SHA-256 (hex) of the body; `traceparent` is there if the
client sent one.
Payloads are additive: fields are never renamed or removed, new ones have defaults.
An unknown type is to be skipped, a newer version of a known type to be set aside.

"""


def requests_of(kind: type[Request]) -> list[type[Request]]:
    """List the questions or commands in the order of the source."""
    return [
        found
        for found in vars(requests).values()
        if inspect.isclass(found)
        and issubclass(found, kind)
        and hasattr(found, "service")
    ]


def fields(kind: type[msgspec.Struct]) -> list[str]:
    """Lay out a struct's fields as rows of a table."""
    rows = ["| field | type | |", "| --- | --- | --- |"]
    notes = _notes(kind)
    for field in msgspec.structs.fields(kind):
        type_ = _type_name(field.type)
        required = "required" if field.required else ""
        rows.append(
            f"| `{field.encode_name}` | {type_} | {notes.get(field.name) or required} |"
        )
    return rows


def _type_name(type_: Any) -> str:
    name = (
        type_.__name__
        if inspect.isclass(type_) and not hasattr(type_, "__args__")
        else str(type_)
    )
    name = re.sub(r"\b(typing|uuid|msgspec|builtins)\.", "", name)
    return "`" + name.replace(" | None", "").replace("|", "or") + "`"


def _notes(kind: type) -> dict[str, str]:
    """Read the docstrings that stand under fields in the source."""
    found = re.findall(
        r'^    (\w+):[^\n]*\n    """(.+?)"""',
        inspect.getsource(kind),
        re.MULTILINE | re.DOTALL,
    )
    return {name: " ".join(note.split()) for name, note in found}


def _sentence(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def events_page() -> str:
    lines = [HEAD + "## Envelope", "", *fields(Envelope), ""]
    for name, kind in EVENTS.items():
        lines += [f"## {name}", "", _sentence(kind), ""]
        lines += [f"Version {kind.version}, written by the {WRITERS[name]}.", ""]
        if kind.__struct_fields__:
            lines += [*fields(kind), ""]
    return "\n".join(lines)


def asyncapi() -> dict[str, Any]:
    """Describe events and requests as AsyncAPI 3.0, payloads as JSON Schema."""
    asked = [*requests_of(Question), *requests_of(Command)]
    kinds: list[Any] = [
        Envelope,
        *EVENTS.values(),
        *asked,
        *{k.reply: 0 for k in asked},
    ]
    _, schemas = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    messages = {
        name: {
            "summary": _sentence(kind),
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
        for name, kind in {**EVENTS, **{kind.__name__: kind for kind in asked}}.items()
    }
    channels: dict[str, Any] = {
        name: {
            "address": f"ev.{name}.{{user}}.{{session}}",
            "parameters": {"user": {}, "session": {}},
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        for name in EVENTS
    }
    channels |= {
        kind.__name__: {
            "address": kind.subject(),
            "messages": {
                kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}
            },
        }
        for kind in asked
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "OpenSync",
            "version": "1",
            "description": "Events carry their payload in `data` of the Envelope.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "components": {"messages": messages, "schemas": schemas},
    }


def pages() -> dict[Path, str]:
    return {
        HERE / "events.md": events_page(),
        HERE / "asyncapi.json": json.dumps(asyncapi(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
