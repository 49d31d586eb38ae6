"""The load generator: a process of its own, told on its input, telling on its output.

A closed loop over keep-alive connections: each sends its next request when the last
one is answered.
"""

import asyncio
import sys
from collections import Counter
from time import monotonic

import msgspec
import uvloop

from bench.connection import Connection, Door
from bench.messages import Writer


WARM_UP_S = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send: `batch` messages in a request, or single ones if it is 0."""

    url: str
    key: str
    name: str
    connections: int
    seconds: float
    batch: int = 0
    warm_up: float = 0.0


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it; times are of the machine's monotonic clock."""

    began: float = 0.0
    ended: float = 0.0
    sent: int = 0
    """Messages acknowledged in all, those of the warm-up too."""
    took_ms: list[float] = []
    """Of each request that was acknowledged after the warm-up."""
    failures: dict[str, int] = {}

    @property
    def seconds(self) -> float:
        return self.ended - self.began


async def perform(plan: Plan) -> Outcome:
    """Keep every connection busy for the time planned."""
    door = Door.at(plan.url, plan.key)
    began = monotonic() + plan.warm_up
    outcome = Outcome(began=began, ended=began + plan.seconds, took_ms=[])
    failures: Counter[str] = Counter()
    names = [f"{plan.name}-{number}" for number in range(plan.connections)]
    await asyncio.gather(*(_keep(plan, door, n, outcome, failures) for n in names))
    outcome.failures = dict(failures)
    return outcome


async def _keep(
    plan: Plan, door: Door, name: str, outcome: Outcome, failures: Counter[str]
) -> None:
    connection, writer = await Connection.to(door), Writer(name)
    path = "/sync/batch" if plan.batch else "/sync/message"
    while monotonic() < outcome.ended:
        body = writer.batch(plan.batch) if plan.batch else writer.message()[1]
        request = door.post(path, body)
        sent = monotonic()
        status, _ = await connection.ask(request)
        answered = monotonic()
        if status != 200:
            failures[str(status)] += 1
            continue
        outcome.sent += plan.batch or 1
        if outcome.began <= sent and answered <= outcome.ended:
            outcome.took_ms.append((answered - sent) * 1000)
    connection.close()


async def loaded(plan: Plan) -> Outcome:
    """Run a generator as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(msgspec.json.encode(plan))
    if process.returncode:
        raise RuntimeError("the load generator failed")
    return msgspec.json.decode(out, type=Outcome)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    outcome = uvloop.run(perform(plan))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
