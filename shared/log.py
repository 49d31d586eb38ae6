"""The log: append facts to it, and read them back. An append returns when it is on disk.

Every stored event carries the SHA-256 of its own bytes, so that what was accepted
can be compared with what is stored, years later and without trusting the store.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.errors import APIError

from shared import subjects
from shared.connection import unavailable
from shared.errors import TooLarge, Unavailable, WrongExpectedSeq
from shared.events import Envelope, Event, decode_envelope, encode


MAX_PAYLOAD = 8 * 2**20
"""The server's limit for one message, headers included."""
MAX_EVENT = MAX_PAYLOAD - 16 * 2**10
"""Our limit for one event with its headers. An oversized publish makes the client
close its connection for good (nats-py checks the payload alone, the server all)."""
BATCH_EVENTS = 500
BATCH_BYTES = 16 * 2**20
SMALL_BATCH = 4
"""Up to here single appends are faster than an atomic batch with its fixed 3 ms."""

ATTEMPT_S = 1.0
"""Then the server may have died with our message: the id makes asking again harmless."""
READ_S = 2.5
DEADLINE_S = 8.0
RETRY_S = 0.05
LOST = (TimeoutError, OSError, NatsError, KeyError)
"""What a publish can end in when its connection dies; a key error is a stray reply."""
IN_FLIGHT = 4096
BATCHES_IN_FLIGHT = 16
"""Of the 50 the server allows for a stream, so that three gateways can share it."""

HASH = "Content-Hash"
TRACE = "traceparent"
_DIRECT_GET = f"$JS.API.DIRECT.GET.{subjects.STREAM}"
_PURGE = f"$JS.API.STREAM.PURGE.{subjects.STREAM}"
_WRONG_SEQ = {10071, 10164}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An event about to be written."""

    event: Event
    user: UUID
    session: UUID | None
    time: int
    correlation_id: str
    causation_id: str | None = None
    trace: str | None = None
    id: UUID = msgspec.field(default_factory=uuid4)


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event lies, and the SHA-256 (hex) of its stored bytes."""

    id: UUID
    seq: int
    hash: str


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the stream holds it."""

    seq: int
    subject: str
    payload: bytes
    hash: str | None
    trace: str | None = None

    @property
    def written(self) -> int:
        """When the event was written, milliseconds since the epoch."""
        return decode_envelope(self.payload).time


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    entry: Entry
    subject: str
    payload: bytes
    headers: dict[str, str]
    size: int

    def appended(self, seq: int) -> Appended:
        return Appended(id=self.entry.id, seq=seq, hash=self.headers[HASH])


def seal(entry: Entry) -> _Sealed:
    """Encode an event as it will be stored; raises TooLarge over MAX_EVENT."""
    kind = type(entry.event)
    payload = encode(
        Envelope(
            id=entry.id,
            type=kind.__name__,
            v=kind.version,
            time=entry.time,
            user=entry.user,
            session=entry.session,
            correlation_id=entry.correlation_id,
            causation_id=entry.causation_id,
            data=msgspec.Raw(encode(entry.event)),
        )
    )
    headers = {"Nats-Msg-Id": entry.id.hex, HASH: sha256(payload).hexdigest()}
    if entry.trace:
        headers[TRACE] = entry.trace
    size = len(payload) + sum(len(k) + len(v) + 4 for k, v in headers.items())
    if size > MAX_EVENT:
        raise TooLarge(f"an event of {size:,} bytes is over the limit of {MAX_EVENT:,}")
    return _Sealed(
        entry=entry,
        subject=subjects.event(kind.__name__, entry.user, entry.session),
        payload=payload,
        headers=headers,
        size=size,
    )


class Log:
    """Append and read; raises Unavailable when the log cannot confirm in time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream(timeout=READ_S)
        self.acknowledged = 0
        """Events that this process has written since it began."""
        self.refusal = ""
        """Why the log has refused the last write, if it has: a full disk, for one."""
        self._single = asyncio.Semaphore(IN_FLIGHT)
        self._batches = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    async def append(
        self, entry: Entry, *, expected: tuple[str, int] | None = None
    ) -> Appended:
        """Write one event.

        `expected` is a stored-subject filter and the sequence of its last event
        (0: none yet); WrongExpectedSeq if the log has moved on.
        """
        sealed = seal(entry)
        headers = dict(sealed.headers)
        if expected:
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expected[0]
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected[1])
        if self._single.locked():
            raise Unavailable("Too many writes are waiting for the log; try again.")
        async with self._single:
            seq = await self._confirmed(sealed.subject, sealed.payload, headers)
        self.acknowledged += 1
        self.refusal = ""
        return sealed.appended(seq)

    async def append_batch(self, entries: Sequence[Entry]) -> list[Appended]:
        """Write events in order; each run of up to 500 is atomic and costs one fsync."""
        sealed = [seal(entry) for entry in entries]
        if len(sealed) <= SMALL_BATCH:
            return [await self.append(one.entry) for one in sealed]
        done: list[Appended] = []
        for run in _runs(sealed):
            async with self._batches:
                done += await self._atomic(run)
            self.acknowledged += len(run)
            self.refusal = ""
        return done

    async def _atomic(self, run: list[_Sealed]) -> list[Appended]:
        """Publish a batch that the server stores whole or not at all.

        The first message is a request, so that a refusal is heard before the rest
        is sent; the last one commits (JetStream ADR-50).
        """
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return await self._attempt_batch(run)
                except APIError as error:
                    raise self._refused(error) from error
                except LOST:
                    await asyncio.sleep(RETRY_S)
                    await self._connected()
        raise unavailable("The log")

    async def _attempt_batch(self, run: list[_Sealed]) -> list[Appended]:
        batch = uuid4().hex
        last = len(run) - 1
        ack: dict[str, Any] = {}
        for number, one in enumerate(run):
            headers = {
                HASH: one.headers[HASH],
                "Nats-Batch-Id": batch,
                "Nats-Batch-Sequence": str(number + 1),
            }
            if number == last:
                headers["Nats-Batch-Commit"] = "1"
            if 0 < number < last:
                await self._client.publish(one.subject, one.payload, headers=headers)
                continue
            reply = await self._client.request(
                one.subject, one.payload, timeout=ATTEMPT_S, headers=headers
            )
            ack = _ack(reply)
        first = ack["seq"] - last
        return [one.appended(first + number) for number, one in enumerate(run)]

    async def _confirmed(
        self, subject: str, payload: bytes, headers: dict[str, str]
    ) -> int:
        """Publish until acknowledged, and return the place in the log.

        The message id makes a second try harmless.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self._connected()
                    try:
                        reply = await self._client.request(
                            subject, payload, timeout=ATTEMPT_S, headers=headers
                        )
                        return int(_ack(reply)["seq"])
                    except APIError as error:
                        raise self._refused(error) from error
                    except LOST:
                        await asyncio.sleep(RETRY_S)
        except TimeoutError as error:
            raise unavailable("The log") from error

    def _refused(self, error: APIError) -> Exception:
        if error.err_code in _WRONG_SEQ:
            return WrongExpectedSeq("Someone else has changed this in the meantime.")
        self.refusal = f"The log refuses writes: {error.description}."
        return Unavailable(self.refusal)

    async def _connected(self) -> None:
        while not self._client.is_connected:
            if self._client.is_closed:
                raise unavailable("The log")
            await asyncio.sleep(0.02)

    async def head(self) -> int:
        """Say the sequence of the newest event; 0 for an empty log."""
        return int((await self._info()).state.last_seq)

    async def first(self) -> int:
        """Say the sequence of the oldest event still there."""
        return int((await self._info()).state.first_seq)

    async def next_from(self, seq: int, subject: str = "ev.>") -> Stored | None:
        """Read the first message at or after a sequence that matches."""
        async for stored in self._direct(
            {"seq": seq, "batch": 1, "next_by_subj": subject}
        ):
            return stored
        return None

    async def size(self) -> int:
        """Say how many events are there."""
        return int((await self._info()).state.messages)

    async def identity(self) -> str:
        """Name this log by its creation time: a new stream counts from 1 again."""
        return str((await self._info()).created)

    async def _info(self) -> StreamInfo:
        try:
            return await self._js.stream_info(subjects.STREAM)
        except (TimeoutError, NatsError) as error:
            raise unavailable("The log") from error

    async def read(
        self, subject: str = "ev.>", *, start: int = 1, chunk: int = 256
    ) -> AsyncIterator[Stored]:
        """Read stored messages that match a subject, oldest first, to the present end."""
        while True:
            request = {"seq": start, "batch": chunk, "next_by_subj": subject}
            found = 0
            async for stored in self._direct(request):
                found += 1
                start = stored.seq + 1
                yield stored
            if found < chunk:
                return

    async def newest(self, subject: str) -> list[Stored]:
        """Read the last message of each subject that matches, oldest first."""
        found = [s async for s in self._direct({"multi_last": [subject]})]
        return sorted(found, key=lambda stored: stored.seq)

    async def heads(self, user: UUID) -> dict[int, int]:
        """Say, per partition, the sequence of a user's newest event."""
        lanes = range(subjects.PARTITIONS)
        newest = await asyncio.gather(
            *(self._last(subjects.stored(user=user, partition=lane)) for lane in lanes)
        )
        return {lane: seq for lane, seq in zip(lanes, newest, strict=True) if seq}

    async def newest_of_lanes(self, types: Sequence[str] = ("*",)) -> dict[int, int]:
        """Say the sequence of the newest event, of these types, of every lane."""
        wanted = [(lane, t) for lane in range(subjects.PARTITIONS) for t in types]
        found = await asyncio.gather(
            *(self._last(subjects.stored(t, partition=lane)) for lane, t in wanted)
        )
        newest: dict[int, int] = {}
        for (lane, _), seq in zip(wanted, found, strict=True):
            if seq > newest.get(lane, 0):
                newest[lane] = seq
        return newest

    async def _last(self, subject: str) -> int:
        found = [s async for s in self._direct({"last_by_subj": subject})]
        return found[0].seq if found else 0

    async def at(self, seq: int) -> Stored | None:
        """Read the message at a sequence; None if there is none, or no longer."""
        found = [s async for s in self._direct({"seq": seq})]
        return found[0] if found and found[0].seq == seq else None

    async def purge(self, subject: str) -> int:
        """Remove every message that matches, for good; return how many there were."""
        request = msgspec.json.encode({"filter": subject})
        try:
            reply = await self._client.request(_PURGE, request, timeout=DEADLINE_S)
        except (TimeoutError, NatsError) as error:
            raise unavailable("The log") from error
        return int(_ack(reply).get("purged", 0))

    async def _direct(self, request: Mapping[str, Any]) -> AsyncIterator[Stored]:
        single = "batch" not in request and "multi_last" not in request
        inbox = self._client.new_inbox()
        try:
            subscription = await self._client.subscribe(inbox)
        except NatsError as error:
            raise unavailable("The log") from error
        try:
            await self._client.publish(
                _DIRECT_GET, msgspec.json.encode(request), reply=inbox
            )
            while True:
                message = await subscription.next_msg(timeout=READ_S)
                stored = _stored(message)
                if stored is None:
                    return
                yield stored
                if single:
                    return
        except (TimeoutError, NatsError) as error:
            raise unavailable("The log") from error
        finally:
            if not self._client.is_closed:
                await subscription.unsubscribe()


def _runs(sealed: list[_Sealed]) -> list[list[_Sealed]]:
    """Cut a batch where the server's limits for an atomic one would be passed."""
    runs: list[list[_Sealed]] = []
    room = 0
    for one in sealed:
        if not runs or len(runs[-1]) == BATCH_EVENTS or one.size > room:
            runs.append([])
            room = BATCH_BYTES
        runs[-1].append(one)
        room -= one.size
    return runs


def _ack(message: Msg) -> dict[str, Any]:
    if not message.data:
        return {}
    ack: dict[str, Any] = msgspec.json.decode(message.data)
    if "error" in ack:
        APIError.from_error(ack["error"])
    return ack


def _stored(message: Msg) -> Stored | None:
    headers = message.headers or {}
    if "Nats-Sequence" not in headers:
        return None  # a status: the end of a batch, or nothing found
    return Stored(
        seq=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        payload=message.data,
        hash=headers.get(HASH),
        trace=headers.get(TRACE),
    )
