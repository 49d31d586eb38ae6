"""`opensync keys`: issue, list and revoke API keys."""

import re
import time
from typing import Annotated, cast
from uuid import UUID

import typer

from deploy.cli.output import AsJson, as_json, line, moment, table
from deploy.cli.running import OWNER, Running, perform, user_called
from shared.errors import Invalid, NotFound
from shared.requests import (
    SCOPES,
    Decided,
    IssueApiKey,
    IssuedKey,
    KeyList,
    KeyView,
    ListKeys,
    RevokeApiKey,
    Scope,
)


app = typer.Typer(help="Issue, list and revoke API keys.", no_args_is_help=True)

SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

User = Annotated[str, typer.Option(help="Whose: a user's name or id.")]


@app.command()
def issue(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    user: User = OWNER,
    scopes: Annotated[
        str, typer.Option(help="What it may do, separated by commas.")
    ] = ",".join(SCOPES),
    expires: Annotated[
        str | None, typer.Option(help="After how long it ends: 12h, 30d, 8w.")
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Issue a key and show it, this once."""

    async def work(system: Running) -> None:
        command = IssueApiKey(
            user=user_called(user),
            name=name,
            scopes=_scopes(scopes),
            expires_at=_expiry(expires),
        )
        issued: IssuedKey = await system.bus.answer(command)
        if json:
            as_json(issued)
        else:
            line(issued.key)

    perform(work)


@app.command("list")
def list_(user: User = OWNER, *, json: AsJson = False) -> None:
    """List a user's keys, revoked ones too."""

    async def work(system: Running) -> None:
        found = await _keys(system, user_called(user))
        if json:
            as_json(found)
            return
        titles = ("ID", "PREFIX", "NAME", "SCOPES", "LAST USED", "EXPIRES", "REVOKED")
        table(titles, [_row(key) for key in found])

    perform(work)


@app.command()
def revoke(key: str, user: User = OWNER, *, json: AsJson = False) -> None:
    """Revoke a key, named by its id or its prefix."""

    async def work(system: Running) -> None:
        owner = user_called(user)
        command = RevokeApiKey(user=owner, key_id=await _found(system, owner, key))
        decided: Decided = await system.bus.answer(command)
        if json:
            as_json({"id": decided.id, "seq": decided.seq})
        else:
            line(f"key {decided.id} is revoked")

    perform(work)


async def _keys(system: Running, user: UUID) -> list[KeyView]:
    after = await system.log.heads(user)
    found: KeyList = await system.bus.answer(ListKeys(user=user, after=after))
    return found.keys


async def _found(system: Running, user: UUID, key: str) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        matching = [k for k in await _keys(system, user) if k.prefix == key[:12]]
    if len(matching) != 1:
        raise NotFound(f"{len(matching)} keys begin with {key[:12]!r}; use the id.")
    return UUID(matching[0].id)


def _row(key: KeyView) -> tuple[str | None, ...]:
    return (
        key.id,
        key.prefix,
        key.name,
        ",".join(key.scopes),
        moment(key.last_used_at),
        moment(key.expires_at),
        moment(key.revoked_at),
    )


def _scopes(text: str) -> tuple[Scope, ...]:
    wanted = [scope.strip() for scope in text.split(",") if scope.strip()]
    for scope in wanted:
        if scope not in SCOPES:
            raise Invalid(
                f"There is no scope {scope!r}; there are {', '.join(SCOPES)}."
            )
    return tuple(cast("Scope", scope) for scope in wanted)


def _expiry(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,6})([mhdw])", text)
    if not match:
        raise Invalid(f"{text!r} is no duration; write 45m, 12h, 30d or 8w.")
    return int((time.time() + int(match[1]) * SECONDS[match[2]]) * 1000)
