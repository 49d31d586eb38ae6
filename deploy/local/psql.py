"""`python -m deploy.local.psql`: a shell in the running system's Postgres."""

import os
import sys

from deploy.local.postgres import binaries
from deploy.local.runfile import read_run
from shared.settings import read_settings


def main() -> None:
    settings = read_settings(os.environ)
    run = read_run(settings.data_dir)
    if not run:
        sys.exit(f"OpenSync is not running in {settings.data_dir}; start it: make run")
    psql = str(binaries() / "psql")
    os.execv(psql, [psql, run.postgres_url, *sys.argv[1:]])  # noqa: S606 - no shell meant


if __name__ == "__main__":
    main()
