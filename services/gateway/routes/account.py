"""Who am I, and which keys do I have."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath

from services.gateway.bodies import body_of, decoded
from services.gateway.gateway import (
    AnyRequest,
    correlation_of,
    gateway_of,
    json_answer,
)
from services.gateway.keyring import Key
from services.gateway.normalise.values import moment
from services.gateway.openapi import AFTER, answers, described
from services.gateway.parameters import Parameters
from services.gateway.wire import NEW_KEY
from shared.errors import NotFound, NotPermitted
from shared.events import encode
from shared.requests import (
    SCOPES,
    Decided,
    EraseUser,
    IssueApiKey,
    IssuedKey,
    KeyList,
    ListKeys,
    Receipt,
    RevokeApiKey,
    Scope,
)


SMALL_BODY = 2**16


class MyUser(msgspec.Struct, frozen=True):
    """The owner of the key."""

    id: str
    name: str


class MyKey(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """The key of this request, without the key."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    expires_at: int | None = None


class Me(msgspec.Struct, frozen=True):
    """Who is asking."""

    user: MyUser
    key: MyKey


@get("/api/me", operation_id="me", tags=["account"], responses=answers(Me))
async def me(request: AnyRequest) -> Response[bytes]:
    """Say whose key this is and what it may do; any valid key will do."""
    gateway = gateway_of(request)
    key = gateway.admit(request, None)
    user = MyUser(id=str(key.user), name=gateway.keyring.name_of(key.user))
    mine = MyKey(
        id=str(key.id),
        name=key.name,
        prefix=key.prefix,
        scopes=_ordered(key),
        expires_at=key.expires_at,
    )
    return json_answer(encode(Me(user=user, key=mine)))


@get(
    "/api/keys",
    operation_id="listKeys",
    tags=["account"],
    operation_class=described(query=[AFTER]),
    responses=answers(KeyList),
)
async def list_keys(request: AnyRequest) -> Response[bytes]:
    """List your keys, revoked ones too, never the keys themselves; needs `admin`."""
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    after = await Parameters(request).after(gateway, key.user)
    question = ListKeys(user=key.user, after=after)
    return json_answer(encode(await gateway.directory.list_keys(question)))


class NewKey(msgspec.Struct, rename="camel"):
    """What a new key is for."""

    name: str
    scopes: list[Scope] | None = None
    expires_at: Any = None


@post(
    "/api/keys",
    operation_id="issueKey",
    tags=["account"],
    status_code=201,
    operation_class=described(body=NEW_KEY),
    responses=answers(IssuedKey, status=201, description="The new key."),
)
async def issue_key(request: AnyRequest) -> Response[bytes]:
    """Issue a key: it is shown in this answer and never again; needs `admin`.

    A key can only give scopes that it has itself.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    wanted = decoded(await body_of(request, limit=SMALL_BODY), NewKey)
    scopes = _granted(key, wanted.scopes)
    expires_at = wanted.expires_at
    command = IssueApiKey(
        user=key.user,
        name=wanted.name.replace("\x00", ""),
        scopes=scopes,
        expires_at=None if expires_at is None else moment(expires_at, "expiresAt"),
        correlation_id=correlation_of(request),
    )
    return json_answer(encode(await gateway.accounts.issue_key(command)), 201)


@delete(
    "/api/keys/{key_id:str}",
    operation_id="revokeKey",
    tags=["account"],
    status_code=200,
    responses=answers(Decided),
)
async def revoke_key(request: AnyRequest, key_id: FromPath[str]) -> Response[bytes]:
    """Revoke a key; needs `admin`. Within a second, no gateway accepts it any more."""
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    command = RevokeApiKey(
        user=key.user, key_id=_uuid(key_id), correlation_id=correlation_of(request)
    )
    return json_answer(encode(await gateway.accounts.revoke_key(command)))


def _granted(key: Key, wanted: list[Scope] | None) -> tuple[Scope, ...]:
    if wanted is None:
        return tuple(scope for scope in SCOPES if scope in key.scopes)
    for scope in wanted:
        if scope not in key.scopes:
            raise NotPermitted(
                f"A key without the scope {scope!r} cannot issue one that has it."
            )
    return tuple(wanted)


def _ordered(key: Key) -> list[str]:
    return [scope for scope in SCOPES if scope in key.scopes]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"There is no key {text[:40]!r}.") from None


@delete(
    "/api/me",
    operation_id="eraseMe",
    tags=["account"],
    status_code=200,
    responses=answers(Receipt),
)
async def erase_me(request: AnyRequest) -> Response[bytes]:
    """Erase yourself: sessions, keys and all, for good; needs the scope `admin`.

    It is done in every store and in the log before this answers; the receipt says
    from where. The key of this request is the last thing that ends.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "admin")
    command = EraseUser(user=key.user, correlation_id=correlation_of(request))
    return json_answer(encode(await gateway.eraser.erase_user(command)))


ROUTES = [erase_me, me, list_keys, issue_key, revoke_key]
