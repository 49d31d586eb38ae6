"""Every setting, read once at the start of a process and passed on as an argument."""

from collections.abc import Mapping
from pathlib import Path

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


PREFIX = "OPENSYNC_"
NAMES = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}


class BadSetting(ValueError):
    """An environment variable that cannot be what it is meant to be."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Take our variables from an environment; an empty one counts as unset."""
    given = {field: environ[name] for name, field in NAMES.items() if environ.get(name)}
    try:
        return msgspec.convert(
            given, Settings, strict=False, dec_hook=lambda kind, value: kind(value)
        )
    except msgspec.ValidationError as error:
        raise BadSetting(f"a setting in the environment is wrong: {error}") from error
