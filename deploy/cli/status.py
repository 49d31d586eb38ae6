"""`opensync status`: the log, the projections and the processes."""

from importlib.metadata import version
from typing import Any

import msgspec
import psutil
from nats.errors import Error as NatsError
from nats.js.api import StreamState

from deploy.cli.output import AsJson, as_json, line, size, table
from deploy.cli.running import Running, perform
from deploy.local import Run
from shared import subjects
from shared.errors import ServiceError, Unavailable
from shared.requests import SERVICES, AskReady, Ready


PATIENCE_S = 3.0
AWAY = "away"


def say_version() -> None:
    line(version("opensync"))


def status(*, json: AsJson = False) -> None:
    """Show how the log, the projections and the processes are."""

    async def work(system: Running) -> None:
        stream = await _stream(system)
        services = {name: await _ready(system, name) for name in SERVICES}
        processes = _processes(system.run)
        if json:
            as_json(
                {
                    "version": version("opensync"),
                    "url": system.run.url if system.run else None,
                    "log": stream,
                    "projections": services,
                    "processes": processes,
                }
            )
        else:
            _show(stream, services, processes)

    perform(work)


async def _stream(system: Running) -> dict[str, int]:
    try:
        info = await system.client.jetstream().stream_info(subjects.STREAM)
    except (TimeoutError, NatsError) as error:
        raise Unavailable("The log does not answer.") from error
    state: StreamState = info.state
    return {
        "messages": state.messages,
        "bytes": state.bytes,
        "firstSeq": state.first_seq,
        "lastSeq": state.last_seq,
    }


async def _ready(system: Running, service: str) -> Ready | str:
    try:
        ready: Ready = await system.bus.answer(
            AskReady(), service=service, timeout=PATIENCE_S
        )
    except ServiceError:
        return AWAY
    return ready


def _processes(run: Run | None) -> list[dict[str, Any]]:
    """Add up each process with its children: Postgres is many."""
    if run is None:
        return []
    pids = {"supervisor": run.supervisor, **run.pids}
    return [
        {
            "name": name,
            "pid": pid,
            "residentBytes": _resident(pid, with_children=name != "supervisor"),
        }
        for name, pid in pids.items()
    ]


def _resident(pid: int, *, with_children: bool) -> int | None:
    try:
        process = psutil.Process(pid)
        family = process.children(recursive=True) if with_children else []
        return sum(_own(each) for each in [process, *family])
    except psutil.Error:
        return None


def _own(process: psutil.Process) -> int:
    """Count memory that is shared, such as Postgres's buffers, by its share."""
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))


def _show(
    stream: dict[str, int],
    services: dict[str, Ready | str],
    processes: list[dict[str, Any]],
) -> None:
    line(
        f"log          {stream['messages']:,} events, {size(stream['bytes'])},"
        f" sequences {stream['firstSeq']} to {stream['lastSeq']}"
    )
    line()
    titles = ("PROJECTION", "SEQ", "LAG", "WORKERS", "DEAD LETTERS", "BLOCKED SESSIONS")
    table(titles, [_row(name, state) for name, state in services.items()])
    if processes:
        line()
        rows = [
            (
                p["name"],
                p["pid"],
                size(p["residentBytes"]) if p["residentBytes"] else None,
            )
            for p in processes
        ]
        table(("PROCESS", "PID", "MEMORY"), rows)


def _row(name: str, state: Ready | str) -> tuple[Any, ...]:
    if isinstance(state, str):
        return (name, state, None, None, None, None)
    _, *facts = msgspec.structs.astuple(state)
    return (name, *facts)
