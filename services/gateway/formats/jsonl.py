"""JSON Lines as the reference exports them: an envelope around the lines. Pure."""

from collections.abc import Sequence
from typing import ClassVar

from services.gateway.formats import filename
from services.gateway.formats.words import said
from shared.events import encode
from shared.requests import MessageView, SessionSummary


class Jsonl:
    """`{"content": "<lines of {role, content}>", "filename": "<title>.jsonl"}`."""

    media_type: ClassVar[str] = "application/json"
    suffix: ClassVar[str] = ".jsonl"
    is_file: ClassVar[bool] = False

    def __init__(self) -> None:
        self._filename = ""
        self._separator = ""

    def begin(self, session: SessionSummary) -> bytes:
        self._filename = filename(session.title, self.suffix)
        return b'{"content":"'

    def messages(self, page: Sequence[MessageView]) -> bytes:
        lines = [encode({"role": m.role, "content": said(m)}).decode() for m in page]
        if not lines:
            return b""
        written = encode(self._separator + "\n".join(lines))[1:-1]
        self._separator = "\n"
        return written

    def end(self) -> bytes:
        return b'","filename":' + encode(self._filename) + b"}"


class Ndjson(Jsonl):
    """The same lines as a body of their own."""

    media_type: ClassVar[str] = "application/x-ndjson"
    is_file: ClassVar[bool] = True

    def begin(self, session: SessionSummary) -> bytes:  # noqa: ARG002  # a line is only a message
        return b""

    def messages(self, page: Sequence[MessageView]) -> bytes:
        lines = (encode({"role": m.role, "content": said(m)}) for m in page)
        return b"".join(line + b"\n" for line in lines)

    def end(self) -> bytes:
        return b""
