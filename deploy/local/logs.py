"""What the children say: one file per process, and its last lines."""

import os
from collections import deque
from pathlib import Path

from deploy.local.files import private_folder


ROTATE_AT = 10 * 1024 * 1024
"""Bytes. A larger log steps aside to `<name>.log.1` when its process starts."""


def log_path(data_dir: Path, name: str) -> Path:
    return data_dir / "logs" / f"{name}.log"


def open_log(path: Path) -> int:
    """Open a log for appending, and return its descriptor."""
    private_folder(path.parent)
    if path.exists() and path.stat().st_size > ROTATE_AT:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def tail(path: Path, lines: int = 15) -> str:
    try:
        with path.open(errors="replace") as file:
            return "".join(deque(file, maxlen=lines)).rstrip()
    except FileNotFoundError:
        return ""
