"""Files that only we may read, replaced in one step."""

import os
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """Put the content in place atomically, readable by nobody else."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    raw = content.encode() if isinstance(content, str) else content
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
    aside.replace(path)


def private_folder(path: Path) -> Path:
    """Make a folder that only we may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
