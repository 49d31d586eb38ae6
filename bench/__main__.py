"""`python -m bench`: the numbers in the README, one JSON line each."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.figures import say
from bench.measures import (
    measure_batches,
    measure_lone,
    measure_memory,
    measure_messages,
    measure_pace,
)
from bench.replay import measure_replay
from bench.system import Target, own_system
from shared.logging import configure_logging


WARM_START_S = 10
SETTLE_S = 2.0
"""Between the start and the scales: what only the start needs is given back."""


def main() -> None:
    configure_logging("error", service="bench")  # the figures have stdout to themselves
    uvloop.run(_run(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=12, help="of each load")
    add("--connections", type=int, default=32, help="for single messages")
    add("--quick", action="store_true", help="a first impression, under 40 s")
    add("--url", help="a running system, instead of one of the bench's own")
    add("--key", help="the API key for it")
    given = parser.parse_args()
    if bool(given.url) != bool(given.key):
        parser.error("--url and --key belong together")
    if given.quick:
        given.seconds = min(given.seconds, 3)
    return given


async def _run(given: argparse.Namespace) -> None:
    async with _target(given) as target:
        await _measure(target, given)


@asynccontextmanager
async def _target(given: argparse.Namespace) -> AsyncIterator[Target]:
    if given.url:
        yield Target(given.url, given.key)
        return
    with TemporaryDirectory(prefix="opensync-bench-") as folder:
        data_dir = Path(folder) / "data"
        async with own_system(data_dir, environ=os.environ) as cold:
            say("cold_start", cold.started_s, "s")
        async with own_system(data_dir, environ=os.environ) as warm:
            say("warm_start", warm.started_s, "s", at_most=WARM_START_S)
            await asyncio.sleep(SETTLE_S)
            await measure_memory(warm, "idle")
            yield warm


async def _measure(target: Target, given: argparse.Namespace) -> None:
    seconds, connections = given.seconds, given.connections
    await measure_lone(target)
    await measure_messages(
        target, seconds=seconds, connections=connections, raw_s=seconds / 3
    )
    await measure_batches(target, seconds=seconds / 2)
    await measure_pace(target, seconds=seconds, connections=connections)
    await measure_replay(target)
    await measure_memory(target, "loaded")


if __name__ == "__main__":
    main()
