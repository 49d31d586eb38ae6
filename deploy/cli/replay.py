"""`opensync replay`: a projection built again from the log while the old copy answers."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deploy.cli.copies import shown_differences
from deploy.cli.helpers import helpers
from deploy.cli.output import AsJson, as_json, line
from deploy.cli.running import Running, perform
from deploy.projections import PROJECTIONS, projection_called
from shared.connection import connect_nats, drain
from shared.errors import Invalid, NotFound
from shared.log import Log
from shared.projection import Projection
from shared.replay import Differs, Replay, Watch, sequence_at


DIFFERS = 1
BAD_OPERATION = 2
INTERRUPTED = 130
MOST_WORKERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the options ask for."""

    projections: tuple[Projection, ...]
    workers: int = 1
    verify: bool = False
    as_of: str | None = None
    resume: bool = False
    discard: bool = False
    json: bool = False


def replay(  # noqa: PLR0913  # every option is one of the command's own
    projection: Annotated[str | None, typer.Argument(help="Which one.")] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that share the load.", metavar="N")
    ] = 1,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ|TIME",
            help="Build a copy as it stood then, beside the live one.",
        ),
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="One after the other.")] = False,
    verify: Annotated[
        bool, typer.Option(help="Swap only if every row is what it was.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Finish what was interrupted.")] = False,
    discard: Annotated[
        bool, typer.Option(help="Throw away what was interrupted.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Build a projection again from the first event, and swap it in.

    Readers go on with the old copy until the new one takes its place at once.
    """

    async def work(system: Running) -> None:
        wanted = Wanted(
            projections=_chosen(projection, all_=all_),
            workers=workers,
            verify=verify,
            as_of=as_of,
            resume=resume,
            discard=discard,
            json=json,
        )
        _check(wanted)
        await _replayed(system, wanted)

    perform(work, refusal=BAD_OPERATION)


def _chosen(name: str | None, *, all_: bool) -> tuple[Projection, ...]:
    if bool(name) == all_:
        raise Invalid("Name a projection, or say --all.")
    return PROJECTIONS if name is None else (projection_called(name),)


def _check(wanted: Wanted) -> None:
    """Refuse what cannot be meant."""
    if not 1 <= wanted.workers <= MOST_WORKERS:
        raise Invalid(f"--workers is a number from 1 to {MOST_WORKERS}.")
    if wanted.resume and wanted.discard:
        raise Invalid("Say --resume or --discard, not both.")
    if wanted.as_of and (
        wanted.verify or wanted.resume or wanted.discard or wanted.workers > 1
    ):
        raise Invalid(
            "--as-of goes with none of --verify, --resume, --discard and --workers."
        )


async def _replayed(system: Running, wanted: Wanted) -> None:
    seq = await _sequence(system.log, wanted.as_of) if wanted.as_of else None
    client = await connect_nats(system.nats_url, name="opensync-replay")
    try:
        for projection in wanted.projections:
            one = Replay(
                projection=projection,
                postgres_url=system.postgres_url,
                client=client,
                helping=helpers(system, wanted.workers - 1),
            )
            await _one(one, wanted, seq)
    except asyncio.CancelledError:
        sys.stderr.write("Given up; the old copy serves on, what was built is gone.\n")
        sys.exit(INTERRUPTED)
    finally:
        await drain(client)


async def _one(replay: Replay, wanted: Wanted, seq: int | None) -> None:
    name = replay.projection.name
    began = time.monotonic()
    pace = Pace()
    if wanted.discard:
        await replay.discard()
    try:
        with _bar(name, pace, hidden=wanted.json) as watch:
            if seq is None:
                await replay.run(watch, verify=wanted.verify, resume=wanted.resume)
            else:
                await replay.run_as_of(seq, watch)
    except Differs as differs:
        shown_differences(
            differs.found, ("live", "replay"), replay.projection, json=wanted.json
        )
        sys.stderr.write(f"{name}: {differs}; the old copy serves on.\n")
        sys.exit(DIFFERS)
    took = time.monotonic() - began
    _say(
        {
            "projection": name,
            "events": pace.events,
            "seconds": round(took, 3),
            "eventsPerSecond": round(pace.events / took),
            "verified": wanted.verify,
            "copy": "live" if seq is None else str(seq),
        },
        json=wanted.json,
    )


def _say(done: dict[str, Any], *, json: bool) -> None:
    if json:
        as_json(done)
        return
    verified = ", equal to the old copy" if done["verified"] else ""
    kept = "swapped in" if done["copy"] == "live" else f"kept as copy {done['copy']}"
    line(
        f"{done['projection']}: {done['events']:,} events in {done['seconds']:.1f} s,"
        f" {done['eventsPerSecond']:,} events/s{verified}; {kept}"
    )


class Pace:
    """How far a replay has come since it began."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.at = 0

    @property
    def events(self) -> int:
        return self.at - (self.first or 0)

    def note(self, at: int) -> None:
        self.first = at if self.first is None else self.first
        self.at = max(self.at, at)


class EventsPerSecond(ProgressColumn):
    """What is applied in a second, at present."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} events/s" if task.speed else "")


@contextmanager
def _bar(name: str, pace: Pace, *, hidden: bool) -> Iterator[Watch]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        EventsPerSecond(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(name, total=None)

        def watch(at: int, of: int) -> None:
            if pace.first is None:
                pace.first = 0 if at < of else at
            pace.note(min(at, of))
            bar.update(task, completed=min(at, of), total=of)

        yield watch


async def _sequence(log: Log, as_of: str) -> int:
    """Read a sequence, or find the last one that was written until a time."""
    if as_of.isascii() and as_of.isdigit():
        seq = int(as_of)
        first, head = await log.first(), await log.head()
        if seq < first or not head:
            raise NotFound(
                f"The log begins at {first}; {seq} is before its first event."
            )
        if seq > head:
            raise NotFound(f"The log ends at {head}; {seq} is yet to come.")
        return seq
    moment = _moment(as_of)
    if moment > time.time() * 1000:
        raise Invalid(f"{as_of!r} is yet to come.")
    return await sequence_at(log, moment)


def _moment(text: str) -> int:
    try:
        time_ = datetime.fromisoformat(text)
        time_ = time_ if time_.tzinfo else time_.replace(tzinfo=UTC)
        return int(time_.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Invalid(
            f"{text!r} is neither a sequence nor a time such as 2026-01-31T12:00Z."
        ) from None
