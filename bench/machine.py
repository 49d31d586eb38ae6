"""What the system weighs, and how much of the machine others took meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import psutil

from deploy.local import Run


MIB = 2**20


def memory(run: Run) -> dict[str, float]:
    """Say what each part holds, its children included, in MB.

    Proportional set size: pages that several processes share, as Postgres's do, are
    divided among them and so counted once.
    """
    parts = {"supervisor": run.supervisor, **run.pids}
    own = {name: psutil.Process(pid) for name, pid in parts.items()}
    return {
        name: sum(map(_resident, _tree(process, is_alone=name == "supervisor"))) / MIB
        for name, process in own.items()
    }


def _tree(process: psutil.Process, *, is_alone: bool) -> list[psutil.Process]:
    return [process] if is_alone else [process, *process.children(recursive=True)]


def _resident(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@dataclass(slots=True)
class Elsewhere:
    """Cores that neither the system nor the bench used, on average."""

    cores: float | None = None


@contextmanager
def elsewhere(run: Run | None) -> Iterator[Elsewhere]:
    """Watch the machine while something is measured; a figure needs a quiet one."""
    found = Elsewhere()
    began, busy, ours = monotonic(), _busy(), _ours(run)
    yield found
    if run:
        others = (_busy() - busy) - (_ours(run) - ours)
        found.cores = max(0.0, others / (monotonic() - began))


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _ours(run: Run | None) -> float:
    """Add up the processor time of the system, of us, and of our finished children."""
    pids = [os.getpid(), run.supervisor, *run.pids.values()] if run else []
    alone = {os.getpid(), run.supervisor} if run else set()
    return sum(
        _spent(process)
        for pid in pids
        for process in _tree(psutil.Process(pid), is_alone=pid in alone)
    )


def _spent(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0
