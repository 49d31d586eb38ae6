"""The forms an export can take: from sessions to bytes, piece by piece. Pure."""

import re
from collections.abc import Sequence
from typing import ClassVar, Protocol
from urllib.parse import quote

from shared.requests import MessageView, SessionSummary


class Format(Protocol):
    """Writes one session: a beginning, pages of messages, an end."""

    media_type: ClassVar[str]
    suffix: ClassVar[str]
    is_file: ClassVar[bool]
    """Whether a browser should save it rather than a script read it."""

    def begin(self, session: SessionSummary) -> bytes: ...

    def messages(self, page: Sequence[MessageView]) -> bytes: ...

    def end(self) -> bytes: ...


LONGEST_NAME = 100


def filename(title: str | None, suffix: str) -> str:
    """Name a file as the reference does: whatever is not alphanumeric is a dash."""
    plain = re.sub("[^A-Za-z0-9]", "-", title or "")[:LONGEST_NAME]
    return f"{plain if plain.strip('-') else 'session'}{suffix}"


def attachment(title: str | None, suffix: str) -> str:
    """Write a Content-Disposition that every client and every file system survives."""
    whole = re.sub(r"[\x00-\x1f\x7f/\\:*?\"<>|]", "-", title or "session")[
        :LONGEST_NAME
    ]
    full = quote(f"{whole}{suffix}", safe="", errors="replace")
    return (
        f"attachment; filename=\"{filename(title, suffix)}\"; filename*=UTF-8''{full}"
    )
