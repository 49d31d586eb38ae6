"""The bare log: the same bytes published straight to JetStream, as a yardstick.

A stream of its own beside the real one, on the same server and under the same fsync,
so that nothing of it is ever projected.
"""

import asyncio
from itertools import count
from time import monotonic

from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from bench.messages import as_stored
from shared.connection import connect_nats, drain


STREAM = "BENCH"
SUBJECT = "bench.raw"
IN_FLIGHT = 32
PREPARED = 2000


async def published(nats_url: str, *, seconds: float) -> float:
    """Return how many messages a second the log takes with 32 in flight."""
    client = await connect_nats(nats_url, name="bench-raw")
    js = client.jetstream()
    config = StreamConfig(name=STREAM, subjects=[SUBJECT], storage=StorageType.FILE)
    await js.add_stream(config)
    try:
        return await _rate(js, seconds)
    finally:
        await js.delete_stream(STREAM)
        await drain(client)


async def _rate(js: JetStreamContext, seconds: float) -> float:
    payloads = [as_stored(number) for number in range(PREPARED)]
    numbers = count()
    began = monotonic()
    ends = began + seconds
    done = await asyncio.gather(
        *(_publish(js, payloads, numbers, ends) for _ in range(IN_FLIGHT))
    )
    return sum(done) / (monotonic() - began)


async def _publish(
    js: JetStreamContext, payloads: list[bytes], numbers: "count[int]", ends: float
) -> int:
    done = 0
    while monotonic() < ends:
        await js.publish(SUBJECT, payloads[next(numbers) % PREPARED])
        done += 1
    return done
