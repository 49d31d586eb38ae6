"""`opensync verify`: accepted is stored is projected, or where it is not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.cli.output import AsJson, as_json, line, table
from deploy.cli.running import Running, fail, perform
from deploy.projections import KNOWN
from shared.backup import check_backup
from shared.connection import connect_nats, drain
from shared.contents import Difference
from shared.errors import Invalid, ServiceError
from shared.replay import Replay
from shared.verify import Check
from shared.verify import verify as verified


GAPS = 1
BAD_OPERATION = 2


def verify(
    backup: Annotated[
        Path | None, typer.Option(help="Look at a backup, not at the running system.")
    ] = None,
    *,
    deep: Annotated[
        bool,
        typer.Option(help="Replay every projection beside, and compare all columns."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Check every event and what was made of it; exit 1 if anything is amiss."""
    if backup is not None:
        _look_at(backup, deep=deep, json=json)
        return

    async def work(system: Running) -> None:
        client = await connect_nats(system.nats_url, name="opensync-verify")
        try:
            with progress(hidden=json) as watch:
                watch.name("log")
                checks = await verified(
                    client,
                    postgres_url=system.postgres_url,
                    censuses=[(k.projection, k.censuses) for k in KNOWN.values()],
                    watch=watch,
                )
                for known in KNOWN.values() if deep else ():
                    watch.name(known.projection.name)
                    replay = Replay(
                        projection=known.projection,
                        postgres_url=system.postgres_url,
                        client=client,
                    )
                    checks.append(
                        _deep(known.projection.name, await replay.check(watch))
                    )
        finally:
            await drain(client)
        _report(checks, json=json)

    perform(work, refusal=BAD_OPERATION)


def _look_at(backup: Path, *, deep: bool, json: bool) -> None:
    try:
        if deep:
            raise Invalid("--deep is for the running system, not for a backup.")
        checks = check_backup(backup)
    except ServiceError as error:
        fail(str(error), BAD_OPERATION)
    _report(checks, json=json)


def _deep(name: str, found: list[Difference]) -> Check:
    problems = [
        f"{each.table} {each.key} "
        + (f"is missing in {each.missing_in}" if each.missing_in else "differs in ")
        + ", ".join(each.columns)
        for each in found
    ]
    return Check(
        what=f"{name}: equal to a replay",
        expected=0,
        found=len(found),
        problems=problems,
    )


def _report(checks: list[Check], *, json: bool) -> None:
    is_good = all(check.is_good for check in checks)
    if json:
        as_json({"ok": is_good, "checks": checks})
    else:
        titles = ("CHECK", "EXPECTED", "FOUND", "")
        table(titles, [_row(check) for check in checks])
        for check in checks:
            for problem in check.problems:
                line(f"{check.what}: {problem}")
    if not is_good:
        sys.exit(GAPS)


def _row(check: Check) -> tuple[str, str, str, str]:
    said = "good" if check.is_good else "WRONG"
    return check.what, f"{check.expected:,}", f"{check.found:,}", said


class Told:
    """A bar that is told how far something is, and what it is."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def name(self, what: str) -> None:
        self._bar.update(self._task, description=what, completed=0)

    def __call__(self, at: int, of: int) -> None:
        self._bar.update(self._task, completed=min(at, of), total=of)


@contextmanager
def progress(*, hidden: bool) -> Iterator[Told]:
    """Show a bar on stderr while something takes its time."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        yield Told(bar)
