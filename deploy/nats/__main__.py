"""`python -m deploy.nats`: make or verify the stream of `OPENSYNC_NATS_URL`."""

import asyncio
import os
import sys

from nats.errors import Error

from deploy.nats.stream import ForeignStream, ensure_stream
from shared.errors import Unavailable
from shared.settings import read_settings


def main() -> int:
    settings = read_settings(os.environ)
    try:
        said = asyncio.run(ensure_stream(settings.nats_url))
    except (ForeignStream, Unavailable, Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
