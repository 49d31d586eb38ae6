"""What could not be applied, for those who look after the system.

A key with the scope `admin` belongs to a user, and users do not read each other's
sessions. So everyone with the scope sees that something failed, where and since when;
whose it is and the error's own words, which may quote the content, are shown only to
its owner. Contents are never shown here: `opensync deadletters show` is for operators
on the machine.
"""

import asyncio
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from services.gateway.gateway import (
    AnyRequest,
    Gateway,
    correlation_of,
    gateway_of,
    json_answer,
)
from services.gateway.openapi import answers, described, whole
from services.gateway.parameters import Parameters
from shared.errors import NotFound, NotPermitted, Unavailable
from shared.events import encode
from shared.requests import (
    SERVICES,
    DeadLetters,
    DeadLetterView,
    ListDeadLetters,
    Retried,
    RetryDeadLetter,
)


MOST = 1000
PATIENCE_S = 3.0


class Failures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What failed and what waits behind it; `away` names services that did not say."""

    letters: list[DeadLetterView]
    away: list[str] = []


@get(
    "/api/admin/deadletters",
    operation_id="listDeadLetters",
    tags=["admin"],
    operation_class=described(
        query=[
            whole("limit", "At most so many.", low=1, high=MOST, default=200),
            whole("from", "Only from this place in the log on."),
        ]
    ),
    responses=answers(Failures),
)
async def list_dead_letters(request: AnyRequest) -> Response[bytes]:
    """List events that could not be applied, oldest first; needs the scope `admin`.

    One without an `error` waits behind an earlier event of its session. Of other
    users' events, the session and the error's own words are left out.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    given = Parameters(request)
    limit = given.whole("limit", 200, low=1, high=MOST)
    question = ListDeadLetters(limit=limit, from_seq=given.whole("from", 0))
    pages = await asyncio.gather(*(_page(gateway, question, s) for s in SERVICES))
    found = [letter for page in pages if page for letter in page.letters]
    found.sort(key=lambda letter: (letter.seq, letter.projection))
    failures = Failures(
        letters=[_seen_by(key.user, letter) for letter in found[:limit]],
        away=[s for s, page in zip(SERVICES, pages, strict=True) if page is None],
    )
    return json_answer(encode(failures))


@post(
    "/api/admin/deadletters/{projection:str}/{seq:int}/retry",
    operation_id="retryDeadLetter",
    tags=["admin"],
    status_code=200,
    responses=answers(Retried),
)
async def retry_dead_letter(
    request: AnyRequest, projection: FromPath[str], seq: FromPath[int]
) -> Response[bytes]:
    """Apply a blocked session's events in order, all or none; needs `admin`.

    Anyone with the scope may retry anything: it only does what should have been done.
    """
    return await _tried(request, projection, seq, skip=False)


@post(
    "/api/admin/deadletters/{projection:str}/{seq:int}/skip",
    operation_id="skipDeadLetter",
    tags=["admin"],
    status_code=200,
    responses=answers(Retried),
)
async def skip_dead_letter(
    request: AnyRequest, projection: FromPath[str], seq: FromPath[int]
) -> Response[bytes]:
    """Leave an event of your own out for good; needs the scope `admin`.

    What waited behind it is applied.
    """
    return await _tried(request, projection, seq, skip=True)


async def _page(
    gateway: Gateway, question: ListDeadLetters, service: str
) -> DeadLetters | None:
    try:
        page: DeadLetters = await gateway.bus.answer(
            question, service=service, timeout=PATIENCE_S
        )
    except Unavailable:
        return None
    return page


async def _tried(
    request: AnyRequest, projection: str, seq: int, *, skip: bool
) -> Response[bytes]:
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    service, letter = await _found(gateway, projection, seq)
    if skip and not _owns(key.user, letter):
        raise NotPermitted("This event is another user's; only they may leave it out.")
    command = RetryDeadLetter(
        seq=seq, skip=skip, correlation_id=correlation_of(request)
    )
    retried: Retried = await gateway.bus.answer(command, service=service)
    if not _owns(key.user, letter):
        retried = msgspec.structs.replace(retried, error=_kind(retried.error))
    return json_answer(encode(retried))


async def _found(
    gateway: Gateway, projection: str, seq: int
) -> tuple[str, DeadLetterView]:
    """Find the letter with the service that a projection's name begins with."""
    service = projection.partition("-")[0]
    if service in SERVICES:
        question = ListDeadLetters(from_seq=seq, limit=1)
        page: DeadLetters = await gateway.bus.answer(question, service=service)
        for letter in page.letters:
            if (letter.projection, letter.seq) == (projection, seq):
                return service, letter
    raise NotFound(f"{projection[:60]!r} has no dead letter {seq}.")


def _owns(user: UUID, letter: DeadLetterView) -> bool:
    return letter.user == str(user)


def _seen_by(user: UUID, letter: DeadLetterView) -> DeadLetterView:
    """Leave out what is another user's."""
    if _owns(user, letter):
        return letter
    return msgspec.structs.replace(
        letter, user=None, session=None, error=_kind(letter.error)
    )


def _kind(error: str | None) -> str | None:
    """Name an error without its own words."""
    return error.partition(":")[0] if error else None


ROUTES = [list_dead_letters, retry_dead_letter, skip_dead_letter]
