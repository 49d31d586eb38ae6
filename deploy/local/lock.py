"""The lock that gives a data folder to one running system at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.runfile import read_run


class AlreadyRunning(RuntimeError):
    """Another system holds the data folder."""


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go of it however we end."""
    # Postgres may have to pass through as another user: enter, but not list
    data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    handle = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise AlreadyRunning(_sentence(data_dir)) from None
    try:
        yield
    finally:
        os.close(handle)


def _sentence(data_dir: Path) -> str:
    run = read_run(data_dir)
    where = f" at {run.url}" if run else ""
    return f"OpenSync is already running in {data_dir}{where}"
