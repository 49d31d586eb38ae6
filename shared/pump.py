"""Reads the log without pause: natural batches, nothing skipped, nothing waited for.

A pump is an unacknowledged pull consumer that begins where a checkpoint ends. The
checkpoint in the projection's own store decides what has been applied, so the
server keeps no second truth about it; whatever goes wrong, a new pump begins at the
checkpoint again. Batches are whatever has arrived: one event when idle, thousands
under load (docs/decisions/0002 has the figures that made us read this way).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from shared import subjects


REQUEST = 2000
"""Messages asked for at a time; the next request goes out when half have arrived."""
REQUEST_BYTES = 32 * 2**20
HEARTBEAT_S = 1.0
SILENCE_S = 4.0
EXPIRES_S = 30.0
ACK_TOKENS = 9
_NANO = 1_000_000_000


class PumpLost(Exception):
    """The consumer is gone or a message is missing: begin again at the checkpoint."""


class Pumped(msgspec.Struct, frozen=True):
    """One message, with what its acknowledgement subject says of it."""

    seq: int
    partition: int
    pending: int
    payload: bytes
    subject: str = ""
    headers: dict[str, str] = {}


class Pump:
    """Delivers the given lanes of the log from a sequence on, in order.

    With `types`, only events of these types cross the wire.
    """

    def __init__(
        self,
        client: Client,
        *,
        start: int,
        lanes: Sequence[int] = range(subjects.PARTITIONS),
        types: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._start = start
        self._filters = _filters(lanes, types)
        self._name = f"pump-{uuid4().hex}"
        self._arrived: deque[Msg] = deque()
        self._wanted = 0
        self._expected = 1
        self._news = asyncio.Event()
        self._heard = 0.0
        self._reconnects = client.stats["reconnects"]

    async def __aenter__(self) -> Self:
        inbox = self._client.new_inbox()
        self._inbox = inbox
        self._subscription = await self._client.subscribe(inbox, cb=self._on_message)
        await self._client.jetstream().add_consumer(
            subjects.STREAM,
            ConsumerConfig(
                name=self._name,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._start,
                ack_policy=AckPolicy.NONE,
                filter_subjects=self._filters,
                mem_storage=True,
                inactive_threshold=60,
            ),
        )
        self._heard = asyncio.get_running_loop().time()
        await self._ask()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._client.is_connected:
            return
        try:
            await self._subscription.unsubscribe()
            await self._client.jetstream().delete_consumer(subjects.STREAM, self._name)
        except (TimeoutError, NatsError):
            pass  # the server drops it after a minute of silence

    async def batch(self, *, limit: int, wait: float) -> list[Pumped]:
        """Return what has arrived, at most `limit`, waiting up to `wait` seconds for one.

        Raises PumpLost when the stream of messages can no longer be trusted.
        """
        if not self._arrived:
            self._news.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass
        self._check(silent=not self._arrived)
        taken = [
            self._read(self._arrived.popleft())
            for _ in range(min(limit, len(self._arrived)))
        ]
        if self._wanted <= REQUEST // 2 and len(self._arrived) < REQUEST:
            await self._ask()
        return taken

    async def is_drained(self) -> bool:
        """Say whether every message of these lanes, up to now, has been handed over."""
        info = await self._client.jetstream().consumer_info(subjects.STREAM, self._name)
        delivered = info.delivered.consumer_seq if info.delivered else 0
        return (
            not self._arrived
            and info.num_pending == 0
            and delivered == self._expected - 1
        )

    def _check(self, *, silent: bool) -> None:
        if self._client.stats["reconnects"] != self._reconnects:
            raise PumpLost("the connection was lost")
        if silent and asyncio.get_running_loop().time() - self._heard > SILENCE_S:
            raise PumpLost("no heartbeat")

    async def _ask(self) -> None:
        self._wanted += REQUEST
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.STREAM}.{self._name}",
            msgspec.json.encode(
                {
                    "batch": REQUEST,
                    "max_bytes": REQUEST_BYTES,
                    "expires": int(EXPIRES_S * _NANO),
                    "idle_heartbeat": int(HEARTBEAT_S * _NANO),
                }
            ),
            reply=self._inbox,
        )

    async def _on_message(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        headers = message.headers
        status = headers.get("Status") if headers else None
        if status is None:
            self._arrived.append(message)
            self._wanted -= 1
            self._news.set()
        elif status != "100":
            # 408 and 409 end one request: what it still owed will not come
            owed = int((headers or {}).get("Nats-Pending-Messages", REQUEST))
            self._wanted = max(0, self._wanted - owed)
            self._news.set()

    def _read(self, message: Msg) -> Pumped:
        tokens = message.reply.split(".")
        at = 5 if len(tokens) == ACK_TOKENS else 7  # v2 also names domain and account
        seq, number, pending = int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 3])
        if number != self._expected:
            raise PumpLost(f"expected delivery {self._expected}, got {number}")
        self._expected += 1
        return Pumped(
            seq,
            subjects.partition_of(message.subject),
            pending,
            message.data,
            message.subject,
            message.headers or {},
        )


def _filters(lanes: Sequence[int], types: Sequence[str]) -> list[str]:
    """Say in the server's words which events are wanted; no two filters overlap."""
    if not types:
        is_all = len(lanes) == subjects.PARTITIONS
        return ["ev.>"] if is_all else [subjects.lane(lane) for lane in lanes]
    wanted: Sequence[int | str] = lanes if len(lanes) < subjects.PARTITIONS else "*"
    return [
        subjects.stored(type_, partition=lane) for lane in wanted for type_ in types
    ]
