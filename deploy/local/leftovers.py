"""What an earlier system left running, because its supervisor was killed."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.runfile import last_run, remove_run, run_path


PATIENCE_S = 5.0
CLOCK_GRAIN_S = 2.0
"""psutil knows start times only as well as it knows the machine's boot time."""


def end_leftovers(data_dir: Path) -> None:
    """End the processes of a run file nobody owns; the caller holds the lock."""
    left = _leftovers(data_dir)
    for process in left:
        _send(process, signal.SIGINT)
    _, stubborn = psutil.wait_procs(left, timeout=PATIENCE_S)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=PATIENCE_S)
    remove_run(data_dir)


def end_squatters(folder: Path) -> None:
    """Kill the Postgres processes inside a folder whose parent was killed."""
    squatters = [each for each in psutil.process_iter() if _works_in(each, folder)]
    for process in squatters:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(squatters, timeout=PATIENCE_S)


def _leftovers(data_dir: Path) -> list[psutil.Process]:
    """Name them; a pid used anew since the file was written is somebody else's."""
    run = last_run(data_dir)
    if not run:
        return []
    born_before = run_path(data_dir).stat().st_mtime + CLOCK_GRAIN_S
    groups = set(run.pids.values())
    return [each for each in psutil.process_iter() if _is_in(each, groups, born_before)]


def _is_in(process: psutil.Process, groups: set[int], born_before: float) -> bool:
    try:
        return (
            os.getpgid(process.pid) in groups and process.create_time() <= born_before
        )
    except (psutil.Error, OSError):
        return False


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.name() == "postgres" and process.cwd() == str(folder))
    except (psutil.Error, OSError):
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
