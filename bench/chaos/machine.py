"""What can happen to the machine below: a full disk, and a clock that jumps."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bench.chaos.load import UNAVAILABLE, Load
from bench.chaos.trial import (
    RECOVERED_WITHIN_S,
    SKIPPED,
    NotHere,
    Outcome,
    Trial,
    tried,
)
from bench.chaos.world import world


DISK_MB = 400
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
STEPS = ("+1d", "-1d", "-30m", "+0")
REFUSED_WITHIN_S = 30.0
FULL_S = 3.0
BY_ITSELF_S = 20.0
MIB = 2**20


async def disk_full(
    name: str, environ: Mapping[str, str], *, dice: Random, away_s: float
) -> Outcome:
    """Run a system of its own on a small disk, and fill it."""
    try:
        with small_disk(DISK_MB) as folder:
            async with world(environ, data_dir=folder / "data") as its:
                return await tried(name, _fill, its, dice=dice, away_s=away_s)
    except NotHere as reason:
        return Outcome(fault=name, result=SKIPPED, notes=[str(reason)])


async def _fill(trial: Trial) -> None:
    """Leave no byte free until writes are refused, then give the space back."""
    ballast = trial.world.system.settings.data_dir.parent / "ballast"
    before = trial.memory.failures[str(UNAVAILABLE)]
    try:
        await asyncio.to_thread(_swell, ballast)
        trial.blows += 1
        async with asyncio.timeout(REFUSED_WITHIN_S):
            while trial.memory.failures[str(UNAVAILABLE)] == before:
                await asyncio.sleep(0.1)
                await asyncio.to_thread(_swell, ballast)
        with trial.calm(), trial.world.measured(without="") as busy:
            await asyncio.sleep(max(FULL_S, trial.away_s / 3))
        trial.notes.append(
            f"refused with 503: {trial.memory.failures[str(UNAVAILABLE)] - before}"
        )
        if busy.fallen:
            trial.notes.append(f"fell meanwhile: {', '.join(busy.fallen)}")
    finally:
        ballast.unlink(missing_ok=True)
    await _writable_again(trial)


async def _writable_again(trial: Trial) -> None:
    """See writes accepted now that there is room; lend a hand, and say so, if they are not."""
    try:
        trial.recovered.append(await trial.memory.grows_by(1, within=BY_ITSELF_S))
    except TimeoutError:
        answer = await trial.world.api.get(f"{trial.world.system.run.url}/health")
        trial.problems.append(
            f"writes still refused {BY_ITSELF_S:.0f} s after space returned, until"
            f" NATS was restarted; health said {answer.status_code} meanwhile"
        )
        trial.world.system.kill("nats")
        await trial.recovers()


def _swell(ballast: Path) -> None:
    """Write until the disk has no room, in ever smaller pieces."""
    with ballast.open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Mount a file system in memory of this size; NotHere where that is not allowed."""
    with TemporaryDirectory(prefix="opensync-disk-") as name:
        options = f"size={megabytes}m,mode=755"
        command = ["mount", "-t", "tmpfs", "-o", options, "opensync-chaos", name]
        if os.geteuid() or not shutil.which("mount"):
            raise NotHere("only root may mount a small disk")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotHere(f"a small disk cannot be mounted: {done.stderr.strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


async def clock_steps(trial: Trial) -> None:
    """Load a second gateway whose clock jumps a day ahead, two days back, and home."""
    if not await asyncio.to_thread(FAKETIME.exists):
        raise NotHere("libfaketime is not installed (Debian: faketime)")
    clock = trial.world.system.settings.data_dir / "clock"
    clock.write_text("+0")
    environ = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    its = trial.world
    async with its.beside("gateway", "gateway-late", environ=environ) as (_, url):
        await its.opens(url, trial.person.key)
        async with Load(its.door(trial.person, url), trial.memory):
            for step in STEPS:
                clock.write_text(step)
                trial.blows += 1
                await trial.flows()
                trial.notes.append(f"{step}: {await _offset(trial, url)}")
            async with asyncio.timeout(RECOVERED_WITHIN_S):
                await trial.recovers()


async def _offset(trial: Trial, url: str) -> str:
    """Say how far the gateway's clock is from ours, to show that it did jump."""
    api = trial.world.api
    theirs = (await api.get(f"{url}/health")).json()["timestamp"]
    ours = (await api.get(f"{trial.world.system.run.url}/health")).json()["timestamp"]
    return f"{round((theirs - ours) / 60_000):+d} min"
