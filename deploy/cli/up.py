"""`opensync up`: the whole system on this machine, in the foreground."""

import typer

from deploy import local
from deploy.cli.owner import ensure_owner
from deploy.cli.running import settings


def up() -> None:
    """Start everything, say how to connect to it, and run until Ctrl-C."""
    given = settings()
    status = local.up(given, owner=ensure_owner(given.owner_key))
    raise typer.Exit(status)
