"""Markdown for people: what is known, then the talk and the tools. Pure."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from services.gateway.formats.words import CALLS, RESULTS, call_of, result_of, said
from shared.requests import MessageView, PartView, SessionSummary


SHORTEST_FENCE = 3


class Markdown:
    """Every message under a heading; every tool call and result in a fence."""

    media_type: ClassVar[str] = "text/markdown"
    suffix: ClassVar[str] = ".md"
    is_file: ClassVar[bool] = True

    def begin(self, session: SessionSummary) -> bytes:
        rows = [f"| {name} | {_cell(value)} |" for name, value in _about(session)]
        title = " ".join((session.title or "Untitled Session").split())
        table = "\n".join(["| Property | Value |", "| --- | --- |", *rows])
        return f"# {title}\n\n{table}\n\n---\n\n".encode()

    def messages(self, page: Sequence[MessageView]) -> bytes:
        return "".join(map(_message, page)).encode()

    def end(self) -> bytes:
        return b""


def _about(session: SessionSummary) -> list[tuple[str, str]]:
    created = datetime.fromtimestamp(session.created_at / 1000, UTC)
    known = [
        ("Project", session.project_path or session.project_name),
        ("Model", session.model),
        ("Provider", session.provider),
        ("Source", session.source),
        ("Tokens", f"{session.total_tokens:,}"),
        ("Cost", _cost(session)),
        ("Messages", f"{session.message_count:,}"),
        ("Created", created.isoformat(timespec="seconds")),
    ]
    return [(name, value) for name, value in known if value]


def _cost(session: SessionSummary) -> str:
    """Tokens for nothing are tokens whose price nobody told us."""
    is_told = session.cost > 0 or session.total_tokens == 0
    return f"${session.cost:.4f}" if is_told else "not given"


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def _message(message: MessageView) -> str:
    heading = "User" if message.role == "user" else "Assistant"
    tools = [text for part in message.parts if (text := _tool(part))]
    pieces = [piece for piece in (said(message), *tools) if piece]
    return "\n\n".join([f"## {heading}", *pieces]) + "\n\n"


def _tool(part: PartView) -> str:
    if part.type in CALLS:
        name, arguments = call_of(part)
        called = f"**Tool call: {name}**"
        return f"{called}\n\n{fenced(arguments)}" if arguments else called
    if part.type in RESULTS:
        return f"**Tool result**\n\n{fenced(result_of(part))}"
    return ""


def fenced(text: str) -> str:
    """Fence with more backticks than the text has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(SHORTEST_FENCE, longest + 1)
    return f"{fence}\n{text}\n{fence}"
