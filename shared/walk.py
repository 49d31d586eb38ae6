"""The whole log, once, from one end to the other, and what the server says about it."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared import subjects
from shared.connection import unavailable
from shared.errors import Unavailable
from shared.pump import Pump, Pumped, PumpLost


WAIT_S = 0.2
STALLED_S = 15.0
"""Without a message and without having reached the end."""
ANSWER_S = 10.0
_INFO = f"$JS.API.STREAM.INFO.{subjects.STREAM}"


class Lost(msgspec.Struct, frozen=True):
    """What the server says it could not find again after a restart."""

    msgs: list[int] | None = None
    bytes: int = 0


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """What the log holds, and which sequences were removed from its middle."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    deleted: list[int] = []
    lost: Lost | None = None

    def removed(self) -> set[int]:
        """Say which sequences are no more, those before the first one too."""
        return {*range(1, self.first_seq), *self.deleted}


class _Info(msgspec.Struct):
    state: LogState
    created: str


async def log_state(client: Client) -> tuple[str, LogState]:
    """Return the log's identity and its state."""
    try:
        reply = await client.request(
            _INFO, b'{"deleted_details":true}', timeout=ANSWER_S
        )
        info = msgspec.json.decode(reply.data, type=_Info)
    except (TimeoutError, NatsError, msgspec.ValidationError) as error:
        raise unavailable("The log") from error
    return info.created, info.state


async def walk(
    client: Client, *, start: int = 1, end: int
) -> AsyncIterator[list[Pumped]]:
    """Yield every message from one sequence to another, in batches, in order.

    What the server cannot give is left out: the reader sees it by the sequences.
    """
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while start <= end:
        try:
            async with Pump(client, start=start) as pump:
                while start <= end:
                    batch = await pump.batch(limit=2000, wait=WAIT_S)
                    inside = [pumped for pumped in batch if pumped.seq <= end]
                    if inside:
                        heard = loop.time()
                        start = inside[-1].seq + 1
                        yield inside
                    elif batch or await pump.is_drained():
                        return
                    elif loop.time() - heard > STALLED_S:
                        raise Unavailable(f"The log gives nothing from {start} on.")
        except (PumpLost, TimeoutError, NatsError) as reason:
            if loop.time() - heard > STALLED_S:
                raise unavailable("The log") from reason
            await asyncio.sleep(WAIT_S)
