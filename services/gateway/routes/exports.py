"""Exports: written while they are read, a page at a time, whatever their size."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

from litestar import get
from litestar.response import Stream
from msgspec.structs import replace

from services.gateway.formats import Format, attachment, spreadsheet
from services.gateway.formats.conversation import Json
from services.gateway.formats.jsonl import Jsonl, Ndjson
from services.gateway.formats.markdown import Markdown
from services.gateway.gateway import AnyRequest, gateway_of
from services.gateway.openapi import AFTER, answers, choice, described, text
from services.gateway.parameters import Parameters
from services.gateway.routes.sessions import known
from shared.broker import Bus
from shared.errors import Invalid, NotFound
from shared.events import encode
from shared.requests import GetSession, ListSessions, SessionDetail, SessionPage


FORMATS: dict[str, Callable[[], Format]] = {
    "json": Json,
    "jsonl": Jsonl,
    "ndjson": Ndjson,
    "markdown": Markdown,
}
ALL_FORMATS = ("jsonl", "csv")
SESSIONS_PAGE = 200


@get(
    "/api/export",
    operation_id="exportSession",
    tags=["export"],
    operation_class=described(
        query=[
            text("id", "Our id or the client's.", is_required=True),
            choice("format", "What you get.", tuple(FORMATS)),
            AFTER,
        ]
    ),
    responses=answers(str, description="The session in the format asked for."),
)
async def export_session(request: AnyRequest) -> Stream:
    """Download a session; needs the scope `export`.

    `json` is `{session, messages: [{role, content}]}`, `jsonl` an envelope of
    `{content, filename}`, `ndjson` the bare lines, `markdown` for reading.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "export")
    asked = Parameters(request)
    id_ = asked.text("id")
    if id_ is None:
        raise Invalid("Missing session ID")
    form = FORMATS[asked.choice("format", tuple(FORMATS), "json")]()
    question = GetSession(
        user=key.user, id=known(id_), after=await asked.after(gateway, key.user)
    )
    first: SessionDetail = await gateway.bus.answer(question)
    headers = {"Cache-Control": "no-store"}
    if form.is_file:
        headers["Content-Disposition"] = attachment(first.session.title, form.suffix)
    return Stream(
        _written(form, gateway.bus, question, first),
        media_type=form.media_type,
        headers=headers,
    )


async def _written(
    form: Format, bus: Bus, question: GetSession, first: SessionDetail
) -> AsyncIterator[bytes]:
    yield form.begin(first.session)
    async for page in _pages(bus, question, first):
        yield form.messages(page.messages)
    yield form.end()


async def _pages(
    bus: Bus, question: GetSession, first: SessionDetail
) -> AsyncIterator[SessionDetail]:
    page = first
    yield page
    while page.next_cursor:
        following = replace(question, cursor=page.next_cursor, after={})
        page = await bus.answer(following)
        yield page


@get(
    "/api/export/sessions",
    operation_id="exportSessions",
    tags=["export"],
    operation_class=described(
        query=[choice("format", "What you get.", ALL_FORMATS), AFTER]
    ),
    responses=answers(str, description="All sessions, in the format asked for."),
)
async def export_sessions(request: AnyRequest) -> Stream:
    """Download all your sessions; needs the scope `export`.

    `jsonl` has a line `{session, messages}` for each, `csv` a row for each without
    the messages. If something fails on the way the connection breaks, so a download
    that ends properly is complete.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "export")
    asked = Parameters(request)
    form = asked.choice("format", ALL_FORMATS, "jsonl")
    question = ListSessions(
        user=key.user,
        limit=SESSIONS_PAGE,
        sort="created",
        order="asc",
        after=await asked.after(gateway, key.user),
    )
    first: SessionPage = await gateway.bus.answer(question)
    writer, media_type = (
        (_rows, "text/csv") if form == "csv" else (_lines, "application/x-ndjson")
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="sessions.{form}"',
    }
    return Stream(
        writer(gateway.bus, question, first),
        media_type=media_type,
        headers=headers,
    )


async def _session_pages(
    bus: Bus, question: ListSessions, first: SessionPage
) -> AsyncIterator[SessionPage]:
    page = first
    yield page
    while page.next_cursor:
        following = replace(question, cursor=page.next_cursor, after={})
        page = await bus.answer(following)
        yield page


async def _rows(
    bus: Bus, question: ListSessions, first: SessionPage
) -> AsyncIterator[bytes]:
    yield spreadsheet.header()
    async for page in _session_pages(bus, question, first):
        yield spreadsheet.rows(page.sessions)


async def _lines(
    bus: Bus, question: ListSessions, first: SessionPage
) -> AsyncIterator[bytes]:
    async for page in _session_pages(bus, question, first):
        for session in page.sessions:
            async for piece in _line(bus, question.user, session.id):
                yield piece


async def _line(bus: Bus, user: UUID, id_: str) -> AsyncIterator[bytes]:
    """Write one session on one line; one that was deleted meanwhile has none."""
    question = GetSession(user=user, id=id_)
    try:
        first: SessionDetail = await bus.answer(question)
    except NotFound:
        return
    yield b'{"session":' + encode(first.session) + b',"messages":['
    separator = b""
    async for page in _pages(bus, question, first):
        if page.messages:
            yield separator + b",".join(map(encode, page.messages))
            separator = b","
    yield b"]}\n"


ROUTES = [export_session, export_sessions]
