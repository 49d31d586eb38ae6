"""`opensync status`: the log, the projections, the processes, and what needs a person."""

import asyncio
import re
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
import psutil
import typer
from nats.errors import Error as NatsError
from nats.js.api import StreamState

from deploy.cli.output import AsJson, as_json, line, size, table
from deploy.cli.running import Running, nats_url_given, perform, settings
from deploy.local import Run
from shared import subjects
from shared.errors import ServiceError, Unavailable
from shared.requests import SERVICES, AskProgress, Progress


PATIENCE_S = 3.0
BETWEEN_S = 1.0
"""From one look to the next: speeds need two."""
WATCH_S = 2.0
LATE_S = 10.0
"""An event may wait so long before anyone asks why."""
SURE_S = 3.0
"""A rare projection moves every two seconds: look longer before saying it is stuck."""
STUCK = "does not get on"
NEEDS_A_PERSON = 1
AWAY = "away"
CLEAR = "\x1b[H\x1b[J"


@dataclass(frozen=True, slots=True)
class Look:
    """How everything was at one moment."""

    at: float
    stream: dict[str, Any]
    services: dict[str, Progress | str]
    speeds: dict[str, float] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    """What needs a person, in sentences."""


def say_version() -> None:
    line(version("opensync"))


def status(
    *,
    watch: Annotated[bool, typer.Option(help="Look again every two seconds.")] = False,
    json: AsJson = False,
) -> None:
    """Show how everything is; exit 1 when something needs a person."""

    async def work(system: Running) -> None:
        before = await _look(system)
        await asyncio.sleep(BETWEEN_S)
        while True:
            now = _compared(before, await _look(system))
            if any(STUCK in sentence for sentence in now.needs):
                await asyncio.sleep(SURE_S)
                now = _compared(before, await _look(system))
            if watch and not json:
                line(CLEAR if sys.stdout.isatty() else "")
            _print(system, now, json=json)
            if not watch:
                sys.exit(NEEDS_A_PERSON if now.needs else 0)
            before = now
            await asyncio.sleep(WATCH_S)

    perform(work)


async def _look(system: Running) -> Look:
    stream = await _stream(system)
    asked = await asyncio.gather(*(_progress(system, name) for name in SERVICES))
    return Look(time.monotonic(), stream, dict(zip(SERVICES, asked, strict=True)))


def _compared(before: Look, now: Look) -> Look:
    """Add what only two looks can tell: speeds, and who does not get on."""
    took = max(now.at - before.at, 0.001)
    speeds, needs = {}, []
    for name, state in now.services.items():
        if isinstance(state, str):
            needs.append(f"{name} is away")
            continue
        earlier = before.services[name]
        moved = 0 if isinstance(earlier, str) else _top(state) - _top(earlier)
        speeds[name] = max(0.0, moved / took)
        needs += _needs(name, state, earlier)
    return Look(now.at, now.stream, now.services, speeds, needs)


def _top(state: Progress) -> int:
    return max((lane.seq for lane in state.lanes), default=0)


def _needs(name: str, state: Progress, earlier: Progress | str) -> list[str]:
    found = []
    if state.dead_letters:
        found.append(
            f"{name} has {state.dead_letters} dead letters that block"
            f" {state.blocked_sessions} sessions: see `opensync deadletters list`"
        )
    if not state.workers:
        found.append(f"{name} has no worker")
    if state.lag_s > LATE_S and not isinstance(earlier, str):
        stuck = state.lag >= earlier.lag and state.lag_s >= earlier.lag_s
        if stuck:
            found.append(f"{name} is {state.lag_s:.0f} s behind and {STUCK}")
    return found


async def _stream(system: Running) -> dict[str, Any]:
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
        "fsync": _fsync(system.run),
    }


def _fsync(run: Run | None) -> str:
    """Say when the log server writes through; only of our own can we know.

    The server tells nobody over its protocol, so we read what we have started it with.
    """
    if run is None or nats_url_given() or "nats" not in run.pids:
        return "unknown"
    try:
        text = (settings().data_dir / "nats" / "nats.conf").read_text()
    except OSError:
        return "unknown"
    found = re.search(r"sync_interval:\s*\"?(\w+)", text)
    return found[1] if found else "unknown"


async def _progress(system: Running, service: str) -> Progress | str:
    try:
        known: Progress = await system.bus.answer(
            AskProgress(), service=service, timeout=PATIENCE_S
        )
    except ServiceError:
        return AWAY
    return known


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


def _print(system: Running, now: Look, *, json: bool) -> None:
    processes = _processes(system.run)
    if json:
        as_json(
            {
                "version": version("opensync"),
                "url": system.run.url if system.run else None,
                "log": now.stream,
                "projections": {name: _facts(now, name) for name in now.services},
                "processes": processes,
                "needs": now.needs,
            }
        )
    else:
        _show(now, processes)


def _facts(now: Look, name: str) -> Any:
    state = now.services[name]
    if isinstance(state, str):
        return state
    facts = msgspec.to_builtins(state)
    return {**facts, "eventsPerSecond": round(now.speeds[name], 1)}


def _show(now: Look, processes: list[dict[str, Any]]) -> None:
    stream = now.stream
    line(
        f"log          {stream['messages']:,} events, {size(stream['bytes'])},"
        f" sequences {stream['firstSeq']} to {stream['lastSeq']},"
        f" fsync {stream['fsync']}"
    )
    line()
    titles = (
        "PROJECTION", "SEQ", "LAG", "LAG S", "EVENTS/S", "WORKERS", "DEAD LETTERS",
        "BLOCKED SESSIONS",
    )  # fmt: skip
    table(titles, [row for name in now.services for row in _rows(now, name)])
    if processes:
        line()
        rows = [_process_row(process) for process in processes]
        table(("PROCESS", "PID", "MEMORY"), rows)
    if now.needs:
        line()
        for sentence in now.needs:
            line(f"needs you: {sentence}")


def _process_row(process: dict[str, Any]) -> tuple[Any, ...]:
    held = process["residentBytes"]
    return process["name"], process["pid"], size(held) if held else None


def _rows(now: Look, name: str) -> list[tuple[Any, ...]]:
    """Show a projection, and under it the lanes that have something to tell."""
    state = now.services[name]
    if isinstance(state, str):
        return [(name, state, *[None] * 6)]
    whole = (
        state.projection,
        state.seq,
        state.lag,
        f"{state.lag_s:.1f}",
        f"{now.speeds[name]:,.0f}",
        state.workers,
        state.dead_letters,
        state.blocked_sessions,
    )
    lanes = [
        (
            f"  partition {lane.partition}",
            lane.seq,
            lane.lag,
            f"{lane.lag_s:.1f}",
            None,
            None if lane.worker else "none",
            lane.dead_letters,
            lane.blocked_sessions,
        )
        for lane in state.lanes
        if lane.lag or lane.dead_letters or not lane.worker
    ]
    return [whole, *lanes]
