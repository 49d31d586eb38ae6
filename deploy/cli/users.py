"""`opensync users`: who may own sessions and keys."""

from typing import Annotated

import typer

from deploy.cli.output import AsJson, as_json, line, moment, table
from deploy.cli.running import Running, perform
from shared.ids import user_id
from shared.requests import (
    Decided,
    EraseUser,
    ListUsers,
    Receipt,
    RegisterUser,
    UserList,
)


ERASE_S = 60.0

app = typer.Typer(help="Create, list and erase users.", no_args_is_help=True)


@app.command()
def create(
    name: str,
    email: Annotated[str | None, typer.Option(help="Where to reach them.")] = None,
    *,
    json: AsJson = False,
) -> None:
    """Create a user; creating one again changes nothing."""

    async def work(system: Running) -> None:
        command = RegisterUser(name=name, email=email)
        decided: Decided = await system.bus.answer(command)
        if json:
            as_json({"id": decided.id, "name": name, "seq": decided.seq})
        else:
            line(f"user {name!r} is {decided.id}")

    perform(work)


@app.command("list")
def list_(*, json: AsJson = False) -> None:
    """List all users, oldest first."""

    async def work(system: Running) -> None:
        found: UserList = await system.bus.answer(ListUsers())
        if json:
            as_json(found.users)
            return
        rows = [(u.name, u.id, u.email, moment(u.created_at)) for u in found.users]
        table(("NAME", "ID", "EMAIL", "CREATED"), rows)

    perform(work)


@app.command()
def erase(
    name: str,
    *,
    yes: Annotated[bool, typer.Option(help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Erase a user, their keys and sessions, for good; print the receipt."""
    if not yes:
        typer.confirm(
            f"Erase {name!r} and everything that is theirs, for good?", abort=True
        )

    async def work(system: Running) -> None:
        command = EraseUser(user=user_id(name))
        receipt: Receipt = await system.bus.answer(command, timeout=ERASE_S)
        if json:
            as_json(receipt)
            return
        line(f"user {name!r} is erased, at {receipt.seq} in the log")
        rows = [(s.store, s.removed, s.remains, s.note) for s in receipt.stores]
        table(("STORE", "REMOVED", "REMAINS", ""), rows)

    perform(work)
