"""Values: how each kind of field is read, however the client wrote it.

A reader gets a value that is not null and the name to complain under. What it
returns is the field's value; None leaves the field to the next place in its line.
"""

import sys
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from shared.errors import Unprocessable


MAX_ID = 1024
MAX_NUMBER = 2**53
"""The last integer that every JSON implementation agrees about."""
SECONDS_BELOW = 1e11
"""As seconds the year 5138, as milliseconds 1973: no clock means either."""
EARLIEST = 631_152_000_000
LATEST = 7_258_118_400_000
"""1990 and 2200, outside which a time is a mistake."""
_SHOWN = 40

ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "tool_result": "tool",
    "unknown": "unknown",
}
SOURCES = {"cursor": "cursor-sync"}

Json: TypeAlias = dict[str, Any]


def identifier(value: Any, name: str) -> str | None:
    if type(value) is int or type(value) is float:
        value = str(value)
    elif type(value) is not str:
        raise Unprocessable(f"{name} must be text; it is {_shown(value)}.")
    if len(value) > MAX_ID:
        raise Unprocessable(f"{name} is longer than {MAX_ID:,} characters.")
    return value or None


def text(value: Any, name: str) -> str:
    if type(value) is str:
        return value
    if type(value) is dict or type(value) is list:
        raise Unprocessable(f"{name} must be text; it is {_shown(value)}.")
    return spelled(value)


def label(value: Any, name: str) -> str | None:
    return text(value, name) or None


def model(value: Any, name: str) -> str | None:
    """Leave an object to the paths that lead into it."""
    return None if type(value) is dict else label(value, name)


def message_text(value: Any, name: str) -> str | None:
    """Leave a list of blocks to `parts`."""
    return None if type(value) is list else text(value, name)


def content_text(value: Any, _: str) -> str | None:
    return value if type(value) is str else None


def source(value: Any, name: str) -> str | None:
    said = text(value, name).strip().lower()
    return SOURCES.get(said, said) or None


def role(value: Any, name: str) -> str | None:
    said = text(value, name).strip().lower()
    return ROLES.get(said, "unknown") if said else None


def count(value: Any, name: str) -> int:
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value
    number = _number(value)
    if number is None or not 0 <= number <= MAX_NUMBER:
        raise Unprocessable(
            f"{name} must be a number from 0 to 2^53; it is {_shown(value)}."
        )
    return round(number)


def cost(value: Any, name: str) -> float:
    number = _number(value)
    if number is None or not 0 <= number <= sys.float_info.max:
        raise Unprocessable(
            f"{name} must be a number of 0 or more; it is {_shown(value)}."
        )
    return float(number)


def moment(value: Any, name: str) -> int | None:
    """Read milliseconds, seconds or ISO 8601, which without an offset is UTC.

    0 is what clients send for a time they do not know.
    """
    number = _number(value)
    if number == 0:
        return None
    if number is None and type(value) is str:
        number = _iso(value)
    elif number is not None and number < SECONDS_BELOW:
        number *= 1000
    if number is None or not EARLIEST <= number < LATEST:
        raise Unprocessable(
            f"{name} must be a time between 1990 and 2200; it is {_shown(value)}."
        )
    return round(number)


def parts(value: Any, name: str) -> list[Json]:
    if type(value) is str or type(value) is dict:
        value = [value]
    elif type(value) is not list:
        raise Unprocessable(f"{name} must be a list; it is {_shown(value)}.")
    return [_part(part) for part in value if part is not None]


def blocks(value: Any, name: str) -> list[Json] | None:
    """Take the text's place where it is a list: content blocks, in the same order."""
    return parts(value, name) if type(value) is list else None


def _part(part: Any) -> Json:
    if type(part) is not dict:
        return {"type": "text", "content": spelled(part)}
    kind = part.get("type")
    return part if kind and type(kind) is str else {**part, "type": "unknown"}


def spelled(value: Any) -> str:
    """Write a value as the client's JSON did; text is itself."""
    return value if type(value) is str else msgspec.json.encode(value).decode()


def _number(value: Any) -> float | None:
    if type(value) is int or type(value) is float:
        return value
    if type(value) is not str:
        return None
    try:
        return int(value)  # exact where a float is not
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return None


def _iso(value: str) -> float | None:
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000


def _shown(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
