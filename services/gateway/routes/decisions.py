"""What a person decides about a session: its title, who may read it, its end."""

from uuid import UUID

import msgspec
from litestar import Response, delete, patch, post
from litestar.params import FromPath

from services.gateway.bodies import body_of, decoded
from services.gateway.gateway import (
    AnyRequest,
    Gateway,
    correlation_of,
    gateway_of,
    json_answer,
)
from services.gateway.keyring import Key
from services.gateway.openapi import answers, described
from services.gateway.routes.sessions import known
from services.gateway.wire import NEW_TITLE
from shared.events import encode
from shared.requests import (
    Command,
    Decided,
    DeleteSession,
    Receipt,
    RenameSession,
    ShareSession,
    UnshareSession,
)


SMALL_BODY = 2**20


class NewTitle(msgspec.Struct):
    """What a session is to be called."""

    title: str


@patch(
    "/api/sessions/{session_id:str}",
    operation_id="renameSession",
    tags=["sessions"],
    operation_class=described(body=NEW_TITLE),
    responses=answers(Decided),
)
async def rename_session(
    request: AnyRequest, session_id: FromPath[str]
) -> Response[bytes]:
    """Give a session a title; needs the scope `admin`.

    It outranks every title that a plugin sends later.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    body = decoded(await body_of(request, limit=SMALL_BODY), NewTitle)
    command = RenameSession(
        user=key.user,
        id=known(session_id),
        title=body.title.replace("\x00", ""),
        correlation_id=correlation_of(request),
    )
    return await _decided(gateway, key, command)


@delete(
    "/api/sessions/{session_id:str}",
    operation_id="deleteSession",
    tags=["sessions"],
    status_code=200,
    responses=answers(Receipt),
)
async def delete_session(
    request: AnyRequest, session_id: FromPath[str]
) -> Response[bytes]:
    """Delete a session for good; needs the scope `admin`.

    It is gone from every store and from the log before this answers; the receipt says
    from where. Whatever a plugin sends for it later is ignored.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    command = DeleteSession(
        user=key.user, id=known(session_id), correlation_id=correlation_of(request)
    )
    receipt = await gateway.eraser.erase_session(command)
    gateway.recent.note(key.user, UUID(receipt.id), receipt.seq)
    return json_answer(encode(receipt))


@post(
    "/api/sessions/{session_id:str}/share",
    operation_id="shareSession",
    tags=["sessions"],
    status_code=200,
    responses=answers(Decided),
)
async def share_session(
    request: AnyRequest, session_id: FromPath[str]
) -> Response[bytes]:
    """Make a session readable by anyone who knows its `slug`; needs `admin`."""
    return await _command(request, ShareSession, session_id)


@post(
    "/api/sessions/{session_id:str}/unshare",
    operation_id="unshareSession",
    tags=["sessions"],
    status_code=200,
    responses=answers(Decided),
)
async def unshare_session(
    request: AnyRequest, session_id: FromPath[str]
) -> Response[bytes]:
    """Make a session private again; needs the scope `admin`.

    Its old `slug` is dead for ever; sharing again makes a new one.
    """
    return await _command(request, UnshareSession, session_id)


async def _command(
    request: AnyRequest,
    kind: type[ShareSession | UnshareSession],
    id_: str,
) -> Response[bytes]:
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    command = kind(user=key.user, id=known(id_), correlation_id=correlation_of(request))
    return await _decided(gateway, key, command)


async def _decided(gateway: Gateway, key: Key, command: Command) -> Response[bytes]:
    decided: Decided = await gateway.bus.answer(command)
    gateway.recent.note(key.user, UUID(decided.id), decided.seq)
    return json_answer(encode(decided))


ROUTES = [rename_session, delete_session, share_session, unshare_session]
