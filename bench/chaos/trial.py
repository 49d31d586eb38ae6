"""One fault tried: load before, during and after, then judgement; and its line in the report."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

from bench.chaos.judge import judged
from bench.chaos.load import BRISK_S, SLOW_S, Load, Memory
from bench.chaos.world import Busy, Person, World


BETWEEN = 100
"""Messages acknowledged before the next blow, and after the last."""
RECOVERED_WITHIN_S = 60.0
LIMIT_S = 240.0
TOO_BUSY = 0.2
"""Of a core: more than this while something is away is a loop that never rests."""
HELD, FAILED, SKIPPED = "held", "FAILED", "skipped"


class NotHere(Exception):
    """A fault that cannot be made on this machine; the message says why."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """A fault in the making: where, with whose load, and what was seen."""

    world: World
    person: Person
    memory: Memory
    dice: Random
    away_s: float
    blows: int = 0
    recovered: list[float] = field(default_factory=list)
    busiest: tuple[str, float] = ("", 0.0)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def flows(self, number: int = BETWEEN) -> float:
        """Wait until writes are acknowledged again; say how long it took."""
        return await self.memory.grows_by(number, within=RECOVERED_WITHIN_S)

    async def recovers(self) -> None:
        self.recovered.append(await self.flows(1))

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Slow the load down, so that what is left is what the processes do by themselves."""
        self.memory.pace = SLOW_S
        try:
            yield
        finally:
            self.memory.pace = BRISK_S

    def note_busy(self, busy: Busy) -> None:
        for name, share in busy.shares.items():
            if share > self.busiest[1]:
                self.busiest = (name, share)
            if share > TOO_BUSY:
                self.problems.append(f"{name} took {share:.0%} of a core meanwhile")
        self.problems += [f"{name} fell too" for name in busy.fallen]


Fault = Callable[[Trial], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A line of the report."""

    fault: str
    result: str
    blows: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    recovered_s: float = 0.0
    settled_s: float = 0.0
    busiest: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def as_line(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


async def tried(
    name: str, fault: Fault, world: World, *, dice: Random, away_s: float
) -> Outcome:
    """Let a fault happen to a system under load, and judge what is left."""
    began = monotonic()
    trial = Trial(
        world=world,
        person=await world.person(),
        memory=Memory(),
        dice=dice,
        away_s=away_s,
    )
    settled = 0.0
    try:
        async with asyncio.timeout(LIMIT_S):
            async with Load(world.door(trial.person), trial.memory):
                await trial.flows()
                await fault(trial)
                await trial.flows()
            settled = await world.settled()
            trial.problems += await judged(world, trial.person, trial.memory)
    except NotHere as reason:
        return Outcome(fault=name, result=SKIPPED, notes=[str(reason)])
    except Exception as error:  # noqa: BLE001  # one fault's failure must not hide the next
        trial.problems.append(f"{type(error).__name__}: {error}")
    return _outcome(name, trial, settled=settled, seconds=monotonic() - began)


def _outcome(name: str, trial: Trial, *, settled: float, seconds: float) -> Outcome:
    busy, share = trial.busiest
    return Outcome(
        fault=name,
        result=FAILED if trial.problems else HELD,
        blows=trial.blows,
        acknowledged=len(trial.memory.acknowledged),
        unanswered=trial.memory.failures.total(),
        recovered_s=round(max(trial.recovered, default=0.0), 2),
        settled_s=round(settled, 2),
        busiest=f"{busy} {share:.1%}" if busy else "",
        seconds=round(seconds, 1),
        notes=[*trial.problems, *trial.notes],
    )
