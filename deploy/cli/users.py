"""`opensync users`: who may own sessions and keys."""

from typing import Annotated

import typer

from deploy.cli.output import AsJson, as_json, line, moment, table
from deploy.cli.running import Running, perform
from shared.requests import Decided, ListUsers, RegisterUser, UserList


app = typer.Typer(help="Create and list users.", no_args_is_help=True)


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
