"""What exports look like."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest

from services.gateway.formats import Format, attachment, spreadsheet
from services.gateway.formats.conversation import Json
from services.gateway.formats.jsonl import Jsonl, Ndjson
from services.gateway.formats.markdown import Markdown, fenced
from shared.requests import MessageView, SessionSummary
from tests.factories import NOON


def a_session(**changes: Any) -> SessionSummary:
    session = SessionSummary(
        id="5e55",
        external_id="s1",
        title="Fix the | login",
        source="claude-code",
        prompt_tokens=1,
        completion_tokens=2,
        total_tokens=3,
        cost=0.5,
        is_public=False,
        message_count=2,
        tool_call_count=1,
        created_at=NOON,
        updated_at=NOON,
        seq=9,
        derived=["title"],
    )
    return msgspec.structs.replace(session, **changes)


def a_message(
    role: str = "user", text: str | None = "Hello", **changes: Any
) -> MessageView:
    sent = {
        "id": "m",
        "externalId": "m",
        "role": role,
        "createdAt": NOON,
        "seq": 1,
        "parts": [],
        "derived": [],
        **changes,
    }
    if text is not None:
        sent["textContent"] = text
    return msgspec.convert(sent, MessageView)


CALL = {
    "type": "tool-call",
    "content": {"toolName": "Read", "args": {"path": "a.ts"}},
    "toolName": "Read",
}
RESULT = {"type": "tool-result", "content": "```\nfile text"}
TALK = [
    a_message(),
    a_message(
        "assistant",
        None,
        parts=[
            {"type": "text", "content": {"text": 'Ünïcode "quoted"\n'}},
            CALL,
            RESULT,
        ],
    ),
]


def written(
    form: Format, *pages: list[MessageView], session: SessionSummary | None = None
) -> bytes:
    body = form.begin(session or a_session())
    return body + b"".join(form.messages(page) for page in pages) + form.end()


@pytest.mark.parametrize("pages", [[TALK], [TALK[:1], TALK[1:]], [[], TALK, []]])
def test_json(pages: list[list[MessageView]]) -> None:
    """
    JSON is the reference's object, however the messages came in pages.
    """
    body = json.loads(written(Json(), *pages))

    assert body["session"] == {"id": "5e55", "title": "Fix the | login"}
    assert body["messages"] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": 'Ünïcode "quoted"\n'},
    ]


@pytest.mark.parametrize("pages", [[TALK], [TALK[:1], TALK[1:]], [[], TALK, []]])
def test_jsonl(pages: list[list[MessageView]]) -> None:
    """
    JSONL is the reference's envelope around lines, however they came in pages.
    """
    body = json.loads(written(Jsonl(), *pages))

    assert body["filename"] == "Fix-the---login.jsonl"
    assert [json.loads(line)["role"] for line in body["content"].split("\n")] == [
        "user",
        "assistant",
    ]


def test_ndjson() -> None:
    """
    NDJSON is the lines themselves.
    """
    lines = written(Ndjson(), TALK).splitlines()

    assert [json.loads(line)["role"] for line in lines] == ["user", "assistant"]


def test_markdown() -> None:
    """
    Markdown shows the talk, the tool calls and their results.
    """
    text = written(Markdown(), TALK).decode()

    assert text.startswith("# Fix the | login\n")
    assert "## User\n\nHello" in text
    assert '**Tool call: Read**\n\n```\n{\n  "path": "a.ts"\n}\n```' in text
    assert "**Tool result**\n\n````\n```\nfile text\n````" in text


def test_fence() -> None:
    """
    Content cannot break out of its fence.
    """
    assert fenced("````") == "`````\n````\n`````"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("a=b", "a=b"),
        (-5, "-5"),
        (None, ""),
        (True, "true"),
        (["=a", "b"], "'=a b"),
    ],
)
def test_cells(value: Any, cell: str) -> None:
    """
    Text that a spreadsheet would take for a formula is disarmed.
    """
    assert spreadsheet.cell(value) == cell


def test_csv() -> None:
    """
    Quotes, commas and line breaks survive a spreadsheet's reader.
    """
    title = 'a "b", c\nd'
    body = spreadsheet.header() + spreadsheet.rows(
        [a_session(title=title, extra={"k": "=x"})]
    )
    [row] = csv.DictReader(io.StringIO(body.decode(), newline=""))

    assert (row["title"], row["source"], row["isPublic"], row["extra"]) == (
        title,
        "claude-code",
        "false",
        '{"k":"=x"}',
    )


@pytest.mark.parametrize(
    "title",
    ['a"; filename="evil.exe', "../../etc/passwd", "Grüße\r\nX: y", "👋", "", None],
)
def test_file_names(title: str | None) -> None:
    """
    A title cannot leave its header, its folder or ASCII.
    """
    header = attachment(title, ".md")

    assert header.isascii()
    assert header.count('"') == 2
    assert not set("\r\n/") & set(header)
