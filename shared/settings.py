"""Every setting, read once at the start of a process and passed on as an argument."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to know; the README's table explains each to a person."""

    nats_url: str = "nats://127.0.0.1:4222"
    postgres_url: str = "postgresql://127.0.0.1:5432/opensync"
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".data")
    owner_key: str = ""
    public_url: str = ""
    cors_origins: str = "*"
    rate_limit: int = 3000
    ingest_workers: int = 1
    log_level: str = "info"


MAX_PORT = 65_535
LEVELS = ("debug", "info", "warning", "error")
PREFIX = "OPENSYNC_"
NAMES = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}


class BadSetting(ValueError):
    """An environment variable that cannot be what it is meant to be."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Take our variables from an environment; an empty one counts as unset."""
    given = {field: environ[name] for name, field in NAMES.items() if environ.get(name)}
    try:
        settings = msgspec.convert(
            given, Settings, strict=False, dec_hook=lambda kind, value: kind(value)
        )
    except msgspec.ValidationError as error:
        raise BadSetting(f"a setting in the environment is wrong: {error}") from error
    for field, (is_good, wanted) in _SENSE.items():
        value = getattr(settings, field)
        if not is_good(value):
            raise BadSetting(f"{PREFIX}{field.upper()} must be {wanted}, not {value!r}")
    return settings


_SENSE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "port": (lambda port: 1 <= port <= MAX_PORT, f"a port from 1 to {MAX_PORT}"),
    "rate_limit": (lambda rate: rate >= 1, "at least 1"),
    "ingest_workers": (lambda workers: workers >= 1, "at least 1"),
    "log_level": (lambda level: level.lower() in LEVELS, f"one of {', '.join(LEVELS)}"),
}
