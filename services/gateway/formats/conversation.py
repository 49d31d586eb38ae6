"""JSON as the reference exports it: `{session, messages: [{role, content}]}`. Pure."""

from collections.abc import Sequence
from typing import ClassVar

from services.gateway.formats.words import said
from shared.events import encode
from shared.requests import MessageView, SessionSummary


class Json:
    """One JSON object."""

    media_type: ClassVar[str] = "application/json"
    suffix: ClassVar[str] = ".json"
    is_file: ClassVar[bool] = False

    def __init__(self) -> None:
        self._separator = b""

    def begin(self, session: SessionSummary) -> bytes:
        about = {"id": session.id, "title": session.title, "model": session.model}
        present = {name: value for name, value in about.items() if value is not None}
        return b'{"session":' + encode(present) + b',"messages":['

    def messages(self, page: Sequence[MessageView]) -> bytes:
        lines = [encode({"role": m.role, "content": said(m)}) for m in page]
        written = self._separator + b",".join(lines) if lines else b""
        self._separator = b"," if lines else self._separator
        return written

    def end(self) -> bytes:
        return b"]}"
