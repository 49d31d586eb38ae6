"""The run file: where the running system can be reached, and every process's pid."""

from pathlib import Path

import msgspec
import psutil

from deploy.local.files import write_private


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A running system, for the command line, the tests and the bench."""

    url: str
    nats_url: str
    postgres_url: str
    supervisor: int
    pids: dict[str, int] = {}


def run_path(data_dir: Path) -> Path:
    return data_dir / "run.json"


def write_run(data_dir: Path, run: Run) -> None:
    raw = msgspec.json.format(msgspec.json.encode(run))
    write_private(run_path(data_dir), raw + b"\n")


def read_run(data_dir: Path) -> Run | None:
    """Tell what runs on this data folder; None when nothing does."""
    run = last_run(data_dir)
    return run if run and psutil.pid_exists(run.supervisor) else None


def last_run(data_dir: Path) -> Run | None:
    """Read the file as it is, also when its supervisor died without removing it."""
    try:
        return msgspec.json.decode(run_path(data_dir).read_bytes(), type=Run)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove_run(data_dir: Path) -> None:
    run_path(data_dir).unlink(missing_ok=True)
