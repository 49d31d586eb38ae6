"""`python -m deploy.containers.owner`: the first user, and the first key, shown once."""

import asyncio
import sys

from deploy.cli.owner import ensure_owner
from deploy.cli.running import REFUSED, fail, settings
from shared.errors import ServiceError
from shared.settings import Settings


THERE_ALREADY = (
    "the owner has a key already; another: "
    "docker compose exec gateway opensync keys issue"
)


async def first_key(given: Settings) -> str | None:
    return await ensure_owner(given.owner_key)(given.nats_url)


def main() -> None:
    """Print the key on a line of its own, so that a script can take it."""
    try:
        key = asyncio.run(first_key(settings()))
    except ServiceError as error:
        fail(str(error), REFUSED)
    if key:
        sys.stdout.write(f"{key}\n")
    else:
        sys.stderr.write(f"{THERE_ALREADY}\n")


if __name__ == "__main__":
    main()
