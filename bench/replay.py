"""Replay: how fast a projection is built again, beside the bare reading of the log."""

from time import monotonic

from bench.figures import say
from bench.system import Target
from deploy.projections import projection_called
from shared.connection import connect_nats, drain
from shared.log import Log
from shared.replay import Replay
from shared.walk import walk


REPLAYED = "ingest-sessions"
AT_LEAST = 10_000
FEWEST = 20_000
"""Events in the log; with fewer, the start and the swap are most of what is timed."""


async def measure_replay(target: Target) -> None:
    """Read the whole log and do nothing; then replay it, indexes and swap included."""
    if target.run is None:
        return
    client = await connect_nats(target.run.nats_url, name="bench-replay")
    try:
        events = await Log(client).head()
        if events < FEWEST:
            return
        began = monotonic()
        pulled = 0
        async for batch in walk(client, end=events):
            pulled += len(batch)
        raw = pulled / (monotonic() - began)
        say("raw_pull", raw, "events/s", events=pulled)
        replay = Replay(
            projection=projection_called(REPLAYED),
            postgres_url=target.run.postgres_url,
            client=client,
        )
        began = monotonic()
        await replay.run(lambda _at, _of: None)
        rate = events / (monotonic() - began)
    finally:
        await drain(client)
    say(
        "replay_ingest",
        rate,
        "events/s",
        at_least=AT_LEAST,
        events=events,
        workers=1,
        ratio_to_raw=rate / raw,
        how="first event until swapped, indexes included",
    )
