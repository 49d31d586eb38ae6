"""One supervised child: started, watched, started again when it falls, stopped."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from deploy.local.leash import leash
from deploy.local.logs import open_log


FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
SETTLED_AFTER_S = 3.0
"""A child that lived this long has started well; its next fall counts as the first."""

log = structlog.get_logger()


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and how it wants to be asked to stop."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    patience_s: float = 10.0
    is_leashed: bool = True
    """False when the command brings its own: a change of user takes a leash off."""
    prepare: Callable[[], None] = field(default=_nothing)
    """Called before every start."""


class Process:
    """A program kept alive until it is told to stop."""

    def __init__(
        self, program: Program, *, log_file: Path, on_start: Callable[[], None]
    ) -> None:
        self.program = program
        self.log_file = log_file
        self.crashes = 0
        self._on_start = on_start
        self._child: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        """The living child's; None between a fall and the next start."""
        child = self._child
        return child.pid if child and child.returncode is None else None

    def start(self) -> None:
        self._watch = asyncio.create_task(self._keep_alive(), name=self.name)

    async def stop(self) -> None:
        """Ask, wait, insist."""
        self._stopping.set()
        if not self._watch:
            return
        self.signal(self.program.stop_signal)
        done, _ = await asyncio.wait({self._watch}, timeout=self.program.patience_s)
        if not done:
            log.warning("process.killed", name=self.name, reason="did not stop in time")
            self.kill()
        await self._watch

    def kill(self) -> None:
        """End the child and everything in its group, now."""
        self._stopping.set()
        self._sweep()

    def signal(self, number: signal.Signals) -> None:
        if pid := self.pid:
            os.kill(pid, number)

    async def _keep_alive(self) -> None:
        delay = FIRST_DELAY_S
        while not self._stopping.is_set():
            started = time.monotonic()
            outcome = await self._live()
            if self._stopping.is_set():
                return
            self.crashes += 1
            if time.monotonic() - started >= SETTLED_AFTER_S:
                delay = FIRST_DELAY_S
            log.warning(
                "process.crashed", name=self.name, exit=outcome, again_in_s=delay
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, LONGEST_DELAY_S)

    async def _live(self) -> int | str:
        """Run one life of the child; return its exit status, or why it never lived."""
        try:
            self._child = await self._spawn()
        except OSError as error:
            return str(error)
        if self._stopping.is_set():  # told to stop while it was being born
            self.signal(self.program.stop_signal)
        self._on_start()
        code = await self._child.wait()
        self._sweep()  # a killed parent leaves its workers, and they hold the port
        return code

    async def _spawn(self) -> asyncio.subprocess.Process:
        await asyncio.to_thread(self.program.prepare)
        prefix = leash(self.program.stop_signal) if self.program.is_leashed else []
        output = open_log(self.log_file)
        try:
            return await asyncio.create_subprocess_exec(
                *prefix,
                *self.program.command,
                env=self.program.environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=0o077,
                # a group of its own: Ctrl-C in the terminal reaches only us
                process_group=0,
            )
        finally:
            os.close(output)

    def _sweep(self) -> None:
        if self._child:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
