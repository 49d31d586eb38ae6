"""The running system on one machine: started in order, kept alive, stopped in order."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import msgspec

from deploy.local import health
from deploy.local.leftovers import end_leftovers
from deploy.local.lock import locked
from deploy.local.logs import log_path, tail
from deploy.local.nats import EmbeddedNats
from deploy.local.ports import require_free
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import Process, Program
from deploy.local.runfile import Run, remove_run, write_run
from deploy.local.services import SERVICES, Service, programs
from deploy.nats.stream import ensure_stream
from shared.settings import Settings


START_WITHIN_S = 60.0
HOPELESS_AFTER = 6
"""Falls before it was ever ready: it will not come up, and waiting helps nobody."""
LOOK_EVERY_S = 0.03
STOP_ORDER = (EmbeddedPostgres.name, EmbeddedNats.name)
"""After the services; the log goes last."""


class StartupFailed(RuntimeError):
    """A part of the system did not come up."""


class System:
    """Everything `make run` runs; enter it to start, leave it to stop.

    Servers the environment gives a URL for are somebody else's and only used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        services: tuple[Service, ...] = SERVICES,
    ) -> None:
        self.settings = msgspec.structs.replace(
            settings, data_dir=settings.data_dir.resolve()
        )
        self._environ = environ
        self._services = services
        self._servers: list[Process] = []
        self._workers: list[Process] = []
        self._deadline = 0.0
        self._afterwards = ExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    @property
    def run(self) -> Run:
        """The system as the run file tells it."""
        return Run(
            url=health.url(self.settings),
            nats_url=self.settings.nats_url,
            postgres_url=self.settings.postgres_url,
            supervisor=os.getpid(),
            pids={each.name: each.pid for each in self._processes if each.pid},
        )

    def kill(self, name: str) -> int:
        """Kill a process as a crash would, and return the pid it had."""
        pid = self.run.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def restarted(self, name: str, old: int) -> int:
        """Wait until a killed process has a new pid, and return it."""
        while (pid := self.run.pids.get(name, old)) == old:
            await asyncio.sleep(LOOK_EVERY_S)
        return pid

    def kill_all(self) -> None:
        """End everything at once, for those who cannot wait."""
        for process in self._processes:
            process.kill()

    @property
    def _processes(self) -> list[Process]:
        return [*self._servers, *self._workers]

    async def _start(self) -> None:
        self._deadline = time.monotonic() + START_WITHIN_S
        folder = self.settings.data_dir
        self._afterwards.enter_context(locked(folder))
        await asyncio.to_thread(end_leftovers, folder)
        require_free(self.settings.host, self.settings.port)
        self._afterwards.callback(remove_run, folder)
        self._note()
        await _together(self._start_nats(), self._start_postgres())
        await ensure_stream(self.settings.nats_url)
        await self._start_services()

    async def _stop(self) -> None:
        """Stop the services first, then Postgres, then the log."""
        await asyncio.gather(*(each.stop() for each in self._workers))
        servers = {each.name: each for each in self._servers}
        for name in STOP_ORDER:
            if name in servers:
                await servers[name].stop()
        self._afterwards.close()

    async def _start_nats(self) -> None:
        if self._environ.get("OPENSYNC_NATS_URL"):
            return
        server = EmbeddedNats(self.settings.data_dir)
        await self._start_server(server)
        self._use(nats_url=server.url)

    async def _start_postgres(self) -> None:
        if self._environ.get("OPENSYNC_POSTGRES_URL"):
            return
        server = EmbeddedPostgres(self.settings.data_dir)
        self._afterwards.callback(server.forget)
        await self._start_server(server)
        self._use(postgres_url=server.url)

    async def _start_server(self, server: EmbeddedNats | EmbeddedPostgres) -> None:
        try:
            await asyncio.to_thread(server.prepare)
            process = self._launch(server.program())
        except (OSError, RuntimeError) as error:
            raise StartupFailed(f"{server.name} cannot start: {error}") from error
        self._servers.append(process)
        await self._until(server.is_ready, process)

    async def _start_services(self) -> None:
        wanted = programs(self._services, self.settings, self._environ)
        self._workers = [self._launch(program) for program in wanted]
        fronts = {service.name for service in self._services if service.is_front}
        for process in self._workers:
            if process.name in fronts:
                await self._until(self._is_healthy, process)

    async def _is_healthy(self) -> bool:
        return await health.is_healthy(self.settings)

    def _launch(self, program: Program) -> Process:
        log_file = log_path(self.settings.data_dir, program.name)
        process = Process(program, log_file=log_file, on_start=self._note)
        process.start()
        return process

    async def _until(
        self, is_ready: Callable[[], Awaitable[bool]], process: Process
    ) -> None:
        while not await is_ready():
            self._despair(process)
            await asyncio.sleep(LOOK_EVERY_S)

    def _despair(self, awaited: Process) -> None:
        """Give up when time is, or when something falls again and again."""
        fallen = [each for each in self._processes if each.crashes >= HOPELESS_AFTER]
        if fallen:
            raise StartupFailed(_last_words(fallen[0], "does not stay up"))
        if time.monotonic() > self._deadline:
            why = f"was not ready within {START_WITHIN_S:.0f} s"
            raise StartupFailed(_last_words(awaited, why))

    def _use(self, **urls: str) -> None:
        self.settings = msgspec.structs.replace(self.settings, **urls)
        self._note()

    def _note(self) -> None:
        write_run(self.settings.data_dir, self.run)


def _last_words(process: Process, why: str) -> str:
    said = tail(process.log_file) or "(it said nothing)"
    return f"{process.name} {why}; the end of {process.log_file}:\n{said}"


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Wait for all; when one fails, give up the others."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
