"""`python -m deploy.containers.healthy <service>`: status 0 if it is well, 1 if not."""

import asyncio
import os
import sys

from nats.errors import Error as NatsError

from deploy.containers.healthy import ask
from shared.errors import ServiceError
from shared.requests import SERVICES
from shared.settings import read_settings


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in SERVICES:
        sys.stderr.write(f"one of these, please: {', '.join(SERVICES)}\n")
        return 1
    try:
        asyncio.run(ask(arguments[0], read_settings(os.environ).nats_url))
    except (ServiceError, NatsError, OSError, TimeoutError) as error:
        sys.stderr.write(f"{arguments[0]} is not well: {error!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
