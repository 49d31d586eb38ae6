"""CSV for spreadsheets: a session per row, nothing to be executed. Pure."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.requests import SessionSummary


COLUMNS = tuple(field.encode_name for field in msgspec.structs.fields(SessionSummary))
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def header() -> bytes:
    return _written([COLUMNS])


def rows(sessions: Sequence[SessionSummary]) -> bytes:
    return _written([_row(session) for session in sessions])


def _row(session: SessionSummary) -> list[str]:
    fields = msgspec.to_builtins(session)
    return [cell(fields.get(name)) for name in COLUMNS]


def cell(value: Any) -> str:
    """Write a value; text that a spreadsheet would take for a formula is disarmed."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return (
                f"'{value}"
                if value.lstrip().startswith(_FORMULA) or value[:1].isspace()
                else value
            )
        case list() if all(isinstance(item, str) for item in value):
            return cell(" ".join(value))
        case _:
            return msgspec.json.encode(value).decode()


def _written(lines: Sequence[Sequence[str]]) -> bytes:
    page = io.StringIO(newline="")
    csv.writer(page).writerows(lines)
    return page.getvalue().encode()
