"""Bodies: from bytes to JSON, as generously as their meaning allows."""

import json
import math
import re
from typing import Any

import msgspec

from shared.errors import Invalid


MAX_DEPTH = 200
"""Of nested objects and lists: far beyond any tool's arguments, and far from the
recursion limit of those who read the event later."""

_decode = msgspec.json.Decoder().decode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_body(raw: bytes) -> dict[str, Any]:
    """Read the one object a body holds.

    The events made of the result can always be encoded and read again; nothing is
    promised for objects that did not come from here.
    """
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _decode_oddities(raw)
    except RecursionError:
        raise Invalid("The body is not valid JSON: it is nested too deeply.") from None
    if type(body) is not dict:
        raise Invalid("The body must be a JSON object.")
    # Counting brackets costs nothing, and few of them cannot nest deeply.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _is_too_deep(body):
        raise Invalid("The body is not valid JSON: it is nested too deeply.")
    return body


def _decode_oddities(raw: bytes) -> Any:
    """Accept half a surrogate pair, NaN and the like, as JavaScript clients send."""
    try:
        body = json.loads(raw.decode("utf-8-sig"), parse_int=_whole)
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.") from None
    if _is_too_deep(body):
        raise Invalid("The body is not valid JSON: it is nested too deeply.")
    return _mended(body)


def _whole(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # more digits than Python is willing to read
        return None


def _mended(value: Any) -> Any:
    match value:
        case str():
            return _LONE_SURROGATE.sub("\ufffd", value)
        case float() if not math.isfinite(value):
            return None
        case list():
            return [_mended(item) for item in value]
        case dict():
            return {_mended(key): _mended(item) for key, item in value.items()}
        case _:
            return value


def _is_too_deep(body: Any) -> bool:
    level: list[Any] = [[body]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True
