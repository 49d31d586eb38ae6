"""The services of the system: what `make run` starts beside the log and Postgres."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.local.process import Program
from shared.settings import NAMES, Settings


def one(_: Settings) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service and how many processes it gets."""

    name: str
    command: tuple[str, ...]
    workers: Callable[[Settings], int] = one
    is_front: bool = False
    """It answers `GET /health` on the gateway's port for the whole system."""


SERVICES: tuple[Service, ...] = (
    Service(
        name="ingest",
        command=(sys.executable, "-m", "services.ingest"),
        workers=lambda settings: settings.ingest_workers,
    ),
    Service(
        name="gateway",
        command=(sys.executable, "-m", "services.gateway"),
        is_front=True,
    ),
)


def programs(
    services: tuple[Service, ...], settings: Settings, environ: Mapping[str, str]
) -> list[Program]:
    """Spell out every process: the first of a service bears its plain name."""
    environ = {**environ, **to_environ(settings), "PYTHONUNBUFFERED": "1"}
    return [
        Program(
            name=service.name if number == 1 else f"{service.name}-{number}",
            command=service.command,
            environ=environ,
        )
        for service in services
        for number in range(1, service.workers(settings) + 1)
    ]


def to_environ(settings: Settings) -> dict[str, str]:
    """Say the settings the way `read_settings` reads them."""
    return {name: str(getattr(settings, field)) for name, field in NAMES.items()}
