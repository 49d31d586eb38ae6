"""Sessions, listed and opened; the answers' bytes are ingest's own."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Stream

from services.gateway.gateway import (
    AnyRequest,
    Gateway,
    gateway_of,
    json_answer,
)
from services.gateway.normalise.values import source
from services.gateway.openapi import (
    AFTER,
    CURSOR,
    answers,
    choice,
    described,
    flag,
    text,
    whole,
)
from services.gateway.parameters import Parameters
from shared.errors import NotFound
from shared.requests import (
    GetPublicSession,
    GetSession,
    GetStats,
    ListSessions,
    Order,
    PublicSession,
    SessionDetail,
    SessionPage,
    Sort,
    Stats,
)


MAX_LIMIT = 200
MAX_MESSAGES = 1000
SMALL_BODY = 2**20
NOT_FOUND = "Session not found"

_LIST_QUERY = [
    whole("limit", "How many.", low=1, high=MAX_LIMIT, default=50),
    CURSOR,
    choice("sort", "By what.", get_args(Sort)),
    choice("order", "Which way.", get_args(Order)),
    text("source", "Only of this tool, such as `claude-code`."),
    text("model", "Only of this model."),
    text("provider", "Only of this provider."),
    text("project", "Only of this project, by name or path."),
    text("since", "Created at or after: milliseconds or ISO 8601. Also `date_from`."),
    text("until", "Created before; a bare date includes its day. Also `date_to`."),
    flag("public", "Only shared sessions, or only private ones."),
    AFTER,
]
_DETAIL_QUERY = [
    whole("limit", "Messages on a page.", low=1, high=MAX_MESSAGES, default=200),
    CURSOR,
    choice("messages", "`all` streams every message.", ("page", "all")),
    AFTER,
]


@get(
    "/api/sessions",
    operation_id="listSessions",
    tags=["sessions"],
    operation_class=described(query=_LIST_QUERY),
    responses=answers(SessionPage),
)
async def list_sessions(request: AnyRequest) -> Response[bytes]:
    """List your sessions, latest first; needs the scope `read`.

    `nextCursor` is absent on the last page. Going on from a cursor neither repeats
    nor skips a session, however many are added meanwhile.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "read")
    asked = Parameters(request)
    question = ListSessions(
        user=key.user,
        after=await asked.after(gateway, key.user),
        limit=asked.whole("limit", 50, low=1, high=MAX_LIMIT),
        cursor=asked.text("cursor"),
        source=source(asked.text("source") or "", "source"),
        model=asked.text("model"),
        provider=asked.text("provider"),
        project=asked.text("project"),
        since=asked.moment("since", "date_from"),
        until=asked.moment("until", "date_to", is_end=True),
        is_public=asked.flag("public"),
        sort=asked.choice("sort", get_args(Sort), "updated"),
        order=asked.choice("order", get_args(Order), "desc"),
    )
    return json_answer(await gateway.bus.ask(question))


@get(
    "/api/sessions/get",
    operation_id="getSessionByQuery",
    tags=["sessions"],
    operation_class=described(
        query=[text("id", "Our id or the client's.", is_required=True), *_DETAIL_QUERY]
    ),
    responses=answers(SessionDetail),
)
async def get_session_by_query(request: AnyRequest) -> Response[Any]:
    """Open a session by our id or the client's; needs the scope `read`.

    The same as `GET /api/sessions/{id}`, for ids that do not fit into a path.
    """
    id_ = Parameters(request).text("id")
    return await _detail(request, id_)


@get(
    "/api/sessions/{session_id:str}",
    operation_id="getSession",
    tags=["sessions"],
    operation_class=described(query=_DETAIL_QUERY),
    responses=answers(SessionDetail),
)
async def get_session(request: AnyRequest, session_id: FromPath[str]) -> Response[Any]:
    """Open a session by our id or the client's; needs the scope `read`.

    Messages come a page at a time, oldest first; `messages=all` streams all of them.
    """
    return await _detail(request, session_id)


async def _detail(request: AnyRequest, id_: str | None) -> Response[Any]:
    gateway = gateway_of(request)
    key = gateway.admit(request, "read")
    asked = Parameters(request)
    asked.needed("id") if id_ is None else None
    is_whole = asked.choice("messages", ("page", "all"), "page") == "all"
    question = GetSession(
        user=key.user,
        after=await asked.after(gateway, key.user),
        id=known(id_),
        limit=asked.whole("limit", 200, low=1, high=MAX_MESSAGES),
        cursor=asked.text("cursor"),
    )
    first = await gateway.bus.ask(question)
    if not is_whole:
        return json_answer(first)
    return Stream(_all(gateway, question, first), media_type="application/json")


class _RawPage(msgspec.Struct, rename="camel"):
    """A page of which nothing but the cursor need be understood."""

    session: msgspec.Raw
    messages: list[msgspec.Raw]
    next_cursor: str | None = None


_open_page = msgspec.json.Decoder(_RawPage).decode


async def _all(
    gateway: Gateway, question: GetSession, first: bytes
) -> AsyncIterator[bytes]:
    """Write the whole session while it is being read."""
    page = _open_page(first)
    yield b'{"session":' + bytes(page.session) + b',"messages":['
    separator = b""
    while True:
        if page.messages:
            yield separator + b",".join(map(bytes, page.messages))
            separator = b","
        if page.next_cursor is None:
            break
        following = msgspec.structs.replace(question, cursor=page.next_cursor, after={})
        page = _open_page(await gateway.bus.ask(following))
    yield b"]}"


def known(id_: str | None) -> str:
    """Treat an id that nothing can have as one that nothing has."""
    if not id_ or "\x00" in id_ or len(id_) > 4096:  # noqa: PLR2004  # no store has longer ones
        raise NotFound(NOT_FOUND)
    return id_


@get(
    "/api/public/{slug:str}",
    operation_id="getPublicSession",
    tags=["sessions"],
    security=[{}],
    operation_class=described(query=[_DETAIL_QUERY[0], CURSOR, AFTER]),
    responses=answers(PublicSession),
)
async def get_public_session(
    request: AnyRequest, slug: FromPath[str]
) -> Response[bytes]:
    """Read a shared session; needs no key. Secrets are masked."""
    asked = Parameters(request)
    gateway = gateway_of(request)
    question = GetPublicSession(
        slug=known(slug),
        after=await asked.after(gateway),
        limit=asked.whole("limit", 200, low=1, high=MAX_MESSAGES),
        cursor=asked.text("cursor"),
    )
    answer = json_answer(await gateway.bus.ask(question))
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


@get(
    "/api/stats",
    operation_id="getStats",
    tags=["sessions"],
    operation_class=described(query=[AFTER]),
    responses=answers(Stats),
)
async def get_stats(request: AnyRequest) -> Response[bytes]:
    """Add up all your sessions; needs the scope `read`."""
    gateway = gateway_of(request)
    key = gateway.admit(request, "read")
    after = await Parameters(request).after(gateway, key.user)
    return json_answer(await gateway.bus.ask(GetStats(user=key.user, after=after)))


ROUTES = [
    list_sessions,
    get_session_by_query,
    get_session,
    get_public_session,
    get_stats,
]
