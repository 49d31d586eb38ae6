"""The operator's command line: `opensync`."""

from typing import Annotated

import typer

from deploy.cli import (
    archive,
    copies,
    deadletters,
    events,
    helpers,
    keys,
    replay,
    status,
    up,
    users,
    verify,
)


app = typer.Typer(
    name="opensync",
    help="Run OpenSync and look after it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("status")(status.status)
app.command("events")(events.events)
app.command("replay")(replay.replay)
app.command("replay-lanes", hidden=True)(helpers.replay_lanes)
app.command("copies")(copies.copies)
app.command("diff")(copies.diff)
app.command("verify")(verify.verify)
app.command("backup")(archive.backup)
app.command("restore")(archive.restore)
app.add_typer(deadletters.app, name="deadletters")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")


@app.callback(invoke_without_command=True)
def version(
    *, show: Annotated[bool, typer.Option("--version", help="Say which one.")] = False
) -> None:
    """Run OpenSync and look after it."""
    if show:
        status.say_version()
        raise typer.Exit


def main() -> None:
    app()
