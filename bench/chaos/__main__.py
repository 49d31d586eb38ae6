"""`python -m bench.chaos`: one JSON line per fault, then a table; status 1 if one failed."""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from time import monotonic

from bench.chaos import faults, machine
from bench.chaos.trial import FAILED, SKIPPED, Fault, Outcome, tried
from bench.chaos.world import World, world
from shared.logging import configure_logging


FULL_MINUTES = 5.0
"""From here on servers are away for 30 s and there are at least 50 kills."""
ROUNDS, ROUNDS_IN_SHORT = 13, 2
COLUMNS = (
    "fault",
    "result",
    "blows",
    "acknowledged",
    "failed requests",
    "longest recovery, s",
    "until all is read, s",
    "busiest other",
    "notes",
)
AWAY_S, AWAY_IN_SHORT_S = 30.0, 3.0


def main() -> None:
    configure_logging("critical", service="chaos")
    outcomes = asyncio.run(_run(_arguments()))
    print(f"\n{table(outcomes)}")
    sys.exit(any(outcome.result == FAILED for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10, help="no fault begins later than this")
    add("--seed", type=int, default=1, help="of the order and the moments of the blows")
    add("--only", help="the faults whose name contains this")
    return parser.parse_args()


def plan(rounds: int) -> dict[str, Fault]:
    """Name every fault that happens to one and the same system."""
    return {
        "kill -9 of gateway, ingest, NATS, Postgres": faults.kills(rounds),
        "Postgres frozen": faults.frozen("postgres"),
        "Postgres absent": faults.absent("postgres"),
        "NATS frozen": faults.frozen("nats"),
        "NATS absent": faults.absent("nats"),
        "clients disconnect after sending": faults.rude_clients,
        "ingest workers 1, 4, 2; one killed, one asleep": faults.crowd,
        "ingest worker asleep inside a transaction": faults.caught_in_the_act,
        "two gateways, one killed": faults.two_gateways,
        "clock stepped": machine.clock_steps,
    }


async def _run(given: argparse.Namespace) -> list[Outcome]:
    is_full = given.minutes >= FULL_MINUTES
    dice, until = Random(given.seed), monotonic() + given.minutes * 60  # noqa: S311  # chance, not secrecy
    away = AWAY_S if is_full else AWAY_IN_SHORT_S
    outcomes: list[Outcome] = []

    async def note(name: str, happening: Callable[[], Awaitable[Outcome]]) -> None:
        if given.only and given.only not in name:
            return
        late = Outcome(fault=name, result=SKIPPED, notes=["no time was left"])
        outcome = late if monotonic() > until else await happening()
        outcomes.append(outcome)
        print(json.dumps(outcome.as_line()), flush=True)

    full = "disk full"
    await note(
        full, partial(machine.disk_full, full, os.environ, dice=dice, away_s=away)
    )
    async with world(os.environ) as its:
        for name, fault in plan(ROUNDS if is_full else ROUNDS_IN_SHORT).items():
            await note(name, partial(_tried, name, fault, its, dice, away))
    return outcomes


async def _tried(
    name: str, fault: Fault, its: World, dice: Random, away_s: float
) -> Outcome:
    await its.settled()
    return await tried(name, fault, its, dice=dice, away_s=away_s)


def table(outcomes: Sequence[Outcome]) -> str:
    """Set the outcomes as a Markdown table, with the day and the machine."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    cores = os.cpu_count() or 0
    head = [
        f"{day}, {cores} cores, {platform.system()}:",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    return "\n".join([*head, *map(_row, outcomes)])


def _row(one: Outcome) -> str:
    cells = (
        one.fault,
        one.result,
        one.blows,
        f"{one.acknowledged:,}",
        f"{one.unanswered:,}",
        one.recovered_s,
        one.settled_s,
        one.busiest,
        "; ".join(one.notes).replace("|", "/"),
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
