"""`opensync up`: the system in the foreground, until someone asks it to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from deploy.local.banner import banner
from deploy.local.lock import AlreadyRunning
from deploy.local.ports import PortUnavailable, free_port
from deploy.local.services import SERVICES, Service
from deploy.local.supervisor import StartupFailed, System
from deploy.nats.stream import ForeignStream
from shared.errors import ServiceError
from shared.logging import configure_logging
from shared.settings import PREFIX, Settings


Owner = Callable[[str], Awaitable[str | None]]
"""Registers the first user over the log's URL; returns the API key to show, if new."""


async def no_owner(_: str) -> str | None:
    return None


def up(
    settings: Settings,
    *,
    owner: Owner = no_owner,
    services: tuple[Service, ...] = SERVICES,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run the system until a signal; return the exit status for the shell."""
    configure_logging(settings.log_level, service="supervisor")
    # the children get our environment, so this is the one place that hands it on
    given = dict(os.environ) if environ is None else environ
    system = System(settings, environ=given, services=services)
    try:
        asyncio.run(_serve(system, owner))
    except (AlreadyRunning, PortUnavailable) as refusal:
        return _fail(refusal, 2)
    except (StartupFailed, ForeignStream, ServiceError) as failure:
        return _fail(failure, 1)
    return 0


@asynccontextmanager
async def running(
    settings: Settings | None = None,
    *,
    services: tuple[Service, ...] = SERVICES,
    data_dir: Path | None = None,
    port: int | None = None,
) -> AsyncIterator[System]:
    """Run a system for tests and the bench: a free port, and a folder that goes away.

    Nothing of ours in the environment reaches it; the settings say it all.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    with ExitStack() as afterwards:
        folder = data_dir or Path(
            afterwards.enter_context(TemporaryDirectory(prefix="opensync-"))
        )
        settings = msgspec.structs.replace(
            settings or Settings(), data_dir=folder, port=port or free_port()
        )
        async with System(settings, environ=environ, services=services) as system:
            yield system


async def _serve(system: System, owner: Owner) -> None:
    _obey_signals(system)
    try:
        async with system:
            key = await owner(system.settings.nats_url)
            sys.stdout.write(banner(system.settings, url=system.run.url, key=key))
            sys.stdout.flush()
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


def _obey_signals(system: System) -> None:
    """Let the first signal stop everything orderly, and another one at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():
            system.kill_all()
        elif task:
            asked.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        is_nohup = (
            number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
        )
        if not is_nohup:
            loop.add_signal_handler(number, stop)


def _fail(error: Exception, status: int) -> int:
    sys.stderr.write(f"{error}\n")
    return status
