"""The log as files: compressed segments with checksums, and a log built from them again.

A backup is a folder of segments and a manifest that names each with its SHA-256. A
second run adds what is new, and writes again only segments of which something has
been erased meanwhile. Only the log is needed: everything else follows from it.
"""

import asyncio
import fcntl
import gzip
import os
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared import subjects
from shared.connection import unavailable
from shared.errors import Conflict, Invalid, NotFound, Unavailable
from shared.events import Envelope, decode_envelope, encode
from shared.log import BATCH_BYTES, BATCH_EVENTS, DEADLINE_S, HASH, Log
from shared.pump import Pumped
from shared.verify import Check, hash_problem
from shared.walk import log_state, walk


FORMAT = 1
SEGMENT_EVENTS = 10_000
SEGMENT_BYTES = 32 * 2**20
SHORT = 1_000
"""Events; a last segment with fewer is written again, with what is new."""
LEVEL = 6
MANIFEST = "manifest.json"
PLACEHOLDER = "Placeholder"
"""Takes the place of a removed event while a log is being built, then is purged."""
NOBODY = UUID(int=0)
SERVER_HEADER = "Nats-"
"""What the server has added, or would act upon again."""
_LENGTH = struct.Struct(">I")

Watch = Callable[[int, int], None]


class Damaged(Invalid):
    """A file of the backup is not what was written."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One message of the log, as a segment holds it."""

    seq: int
    subject: str
    headers: dict[str, str]
    payload: bytes


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A file of messages, and the range of sequences that it accounts for."""

    file: str
    first: int
    last: int
    events: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of; `checksum` is over all the rest."""

    format: int = FORMAT
    log: str
    """The identity of the log it was taken from."""
    partitions: int = subjects.PARTITIONS
    last: int
    segments: list[Segment]
    checksum: str = ""

    def sealed(self) -> "Manifest":
        return msgspec.structs.replace(self, checksum=self._sum())

    def is_whole(self) -> bool:
        return self.checksum == self._sum()

    def _sum(self) -> str:
        return sha256(encode(msgspec.structs.replace(self, checksum=""))).hexdigest()


class Saved(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run has written."""

    last: int
    events: int
    segments_written: int
    segments_kept: int
    missing: int
    """Events that the log should have and could not give."""


async def save(client: Client, path: Path, *, watch: Watch) -> Saved:
    """Bring a backup up to the log's present end, while the system runs."""
    identity, state = await log_state(client)
    with _alone(path):
        old = _earlier(path, identity, state.last_seq)
        removed = state.removed()
        kept = [s for s in old if s.events == _living(s.first, s.last, removed)]
        written: list[Segment] = []
        if kept and kept[-1].last < state.last_seq and kept[-1].events < SHORT:
            kept.pop()  # or many small runs would leave many small files
        for first, last in _open_ranges(kept, state.last_seq):
            async for segment in _write(client, path, first, last):
                written.append(segment)
                watch(segment.last, state.last_seq)
        segments = sorted([*kept, *written], key=lambda segment: segment.first)
        manifest = Manifest(log=identity, last=state.last_seq, segments=segments)
        _put(path / MANIFEST, msgspec.json.format(encode(manifest.sealed())))
        _sweep(path, segments)
    # what was erased meanwhile is no loss
    removed = (await log_state(client))[1].removed()
    missing = sum(max(0, _living(s.first, s.last, removed) - s.events) for s in written)
    return Saved(
        last=state.last_seq,
        events=sum(segment.events for segment in segments),
        segments_written=len(written),
        segments_kept=len(kept),
        missing=missing,
    )


def check_backup(path: Path) -> list[Check]:
    """Read a whole backup, and name every file that is not what was written."""
    manifest = read_manifest(path)
    problems: list[str] = []
    events = 0
    for segment in manifest.segments:
        try:
            events += sum(1 for _ in read_segment(path, segment))
        except Damaged as damage:
            problems.append(str(damage))
    expected = sum(segment.events for segment in manifest.segments)
    return [
        Check(what="backup: events", expected=expected, found=events, problems=problems)
    ]


def read_manifest(path: Path) -> Manifest:
    """Read what a backup consists of; raises NotFound, Damaged or Invalid."""
    file = path / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"There is no backup in {path}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Damaged(f"{file} is damaged.") from None
    if not manifest.is_whole():
        raise Damaged(f"{file} is damaged.")
    if (manifest.format, manifest.partitions) != (FORMAT, subjects.PARTITIONS):
        raise Invalid(f"{path} was written by another version of OpenSync.")
    return manifest


def read_segment(path: Path, segment: Segment) -> Iterator[Kept]:
    """Read a segment's messages; raises Damaged, naming the file, before the first."""
    file = path / segment.file
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{file} is missing.") from None
    if sha256(raw).hexdigest() != segment.sha256:
        raise Damaged(f"{file} is damaged: it does not match its checksum.")
    try:
        found = list(_records(gzip.decompress(raw)))
    except (OSError, EOFError, zlib.error, struct.error, msgspec.DecodeError):
        raise Damaged(f"{file} is damaged.") from None
    if len(found) != segment.events:
        raise Damaged(f"{file} has {len(found)} events, not {segment.events}.")
    for kept in found:
        told = hash_problem(kept.headers.get(HASH), kept.payload)
        if told:
            raise Damaged(f"{file}: sequence {kept.seq} {told}.")
    yield from found


async def load(client: Client, path: Path, *, watch: Watch) -> int:
    """Build the log again in an empty one, each event at its sequence; say the last.

    The whole backup is checked before anything is written. What a deletion in it
    erases does not come back, even if an earlier run had saved it.
    """
    manifest = read_manifest(path)
    erased = await asyncio.to_thread(_erased, path, manifest)
    _, state = await log_state(client)
    if state.last_seq:
        raise Conflict(
            f"The log is not empty, it holds {state.messages:,} events up to"
            f" {state.last_seq}: restore into a new data folder."
        )
    writer = _Writer(client)
    for segment in manifest.segments:
        for kept in await asyncio.to_thread(_listed, path, segment):
            await writer.fill(kept.seq - 1)
            if erased.covers(kept):
                await writer.fill(kept.seq)
            else:
                await writer.put(_published(kept.subject), kept.payload, kept.headers)
        watch(segment.last, manifest.last)
    await writer.fill(manifest.last)
    await writer.flush()
    await Log(client).purge(subjects.stored(PLACEHOLDER, NOBODY))
    return manifest.last


class _Erased:
    """Whom and what a backup says is gone for good."""

    def __init__(self) -> None:
        self.users: set[UUID] = set()
        self.sessions: set[tuple[UUID, UUID | None]] = set()

    def note(self, kept: Kept) -> None:
        type_ = kept.subject.split(".")[2]
        if type_ in ERASURES:
            envelope = decode_envelope(kept.payload)
            if type_ == "SessionDeleted":
                self.sessions.add((envelope.user, envelope.session))
            else:
                self.users.add(envelope.user)

    def covers(self, kept: Kept) -> bool:
        _, _, type_, user, session = kept.subject.split(".")
        if type_ == "UserErased":
            return False
        if UUID(user) in self.users:
            return True
        if type_ in ERASURES or session == subjects.NONE:
            return False
        return (UUID(user), UUID(session)) in self.sessions


ERASURES = ("SessionDeleted", "UserErased")


def _erased(path: Path, manifest: Manifest) -> _Erased:
    """Read everything once: whether it is whole, and what it says is gone."""
    erased = _Erased()
    for segment in manifest.segments:
        for kept in read_segment(path, segment):
            erased.note(kept)
    return erased


def _listed(path: Path, segment: Segment) -> list[Kept]:
    return list(read_segment(path, segment))


class _Writer:
    """Writes messages in order, in atomic batches, and holds the log to the sequences."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[tuple[str, bytes, dict[str, str]]] = []
        self._bytes = 0
        self._seq = 0

    async def put(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        ours = {k: v for k, v in headers.items() if not k.startswith(SERVER_HEADER)}
        size = len(payload) + sum(len(k) + len(v) for k, v in ours.items())
        if len(self._waiting) >= BATCH_EVENTS or self._bytes + size > BATCH_BYTES:
            await self.flush()
        self._waiting.append((subject, payload, ours))
        self._bytes += size
        self._seq += 1

    async def fill(self, until: int) -> None:
        """Take the places up to a sequence with what will be purged again."""
        while self._seq < until:
            await self.put(*_PLACEHOLDER)

    async def flush(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return
        batch, last = uuid4().hex, len(waiting)
        reply = b""
        for number, (subject, payload, ours) in enumerate(waiting, start=1):
            headers = {
                **ours,
                "Nats-Batch-Id": batch,
                "Nats-Batch-Sequence": str(number),
            }
            if number == last:
                headers["Nats-Batch-Commit"] = "1"
            if 1 < number < last:
                await self._client.publish(subject, payload, headers=headers)
            else:
                reply = await self._asked(subject, payload, headers)
        ack = msgspec.json.decode(reply, type=_Ack)
        if ack.seq != self._seq:
            raise Conflict(
                f"Someone else writes to the log: sequence {ack.seq}, not {self._seq}."
            )

    async def _asked(
        self, subject: str, payload: bytes, headers: dict[str, str]
    ) -> bytes:
        try:
            reply = await self._client.request(
                subject, payload, timeout=DEADLINE_S, headers=headers
            )
        except (TimeoutError, NatsError) as error:
            raise unavailable("The log") from error
        if reply.data:
            ack = msgspec.json.decode(reply.data, type=_Ack)
            if ack.error:
                raise Unavailable(f"The log refused the write: {ack.error}")
        return reply.data


class _Ack(msgspec.Struct):
    seq: int = 0
    error: dict[str, object] | None = None


_PLACEHOLDER = (
    subjects.event(PLACEHOLDER, NOBODY, None),
    encode(
        Envelope(
            id=NOBODY,
            type=PLACEHOLDER,
            v=1,
            time=0,
            user=NOBODY,
            correlation_id="",
            data=msgspec.Raw(b"{}"),
        )
    ),
    dict[str, str](),
)


def _published(stored: str) -> str:
    """Say where an event was published that the stream stores under a lane."""
    _, _, rest = stored.split(".", 2)
    return f"ev.{rest}"


def _earlier(path: Path, identity: str, end: int) -> list[Segment]:
    """Return what earlier runs have written of this log."""
    if not (path / MANIFEST).exists():
        if any(each.name != LOCK for each in path.iterdir()):
            raise Invalid(f"{path} is neither empty nor a backup.")
        return []
    manifest = read_manifest(path)
    if manifest.log != identity:
        raise Conflict(f"{path} is the backup of another log; name a new folder.")
    if manifest.last > end:
        raise Conflict(
            f"{path} reaches to {manifest.last}, the log only to {end}: the log has"
            " lost events, and the backup stays as it is."
        )
    return manifest.segments


def _living(first: int, last: int, removed: set[int]) -> int:
    return sum(1 for seq in range(first, last + 1) if seq not in removed)


def _open_ranges(kept: Sequence[Segment], end: int) -> list[tuple[int, int]]:
    """Say which sequences no kept segment accounts for."""
    ranges, at = [], 1
    for segment in kept:
        if segment.first > at:
            ranges.append((at, segment.first - 1))
        at = segment.last + 1
    if at <= end:
        ranges.append((at, end))
    return ranges


async def _write(
    client: Client, path: Path, first: int, last: int
) -> AsyncIterator[Segment]:
    """Write a range of the log as segments that together account for all of it."""
    held: list[Kept] = []
    size = 0
    async for batch in walk(client, start=first, end=last):
        for pumped in batch:
            held.append(_kept(pumped))
            size += len(pumped.payload)
            if len(held) >= SEGMENT_EVENTS or size >= SEGMENT_BYTES:
                yield await asyncio.to_thread(
                    _write_segment, path, first, pumped.seq, held
                )
                first, held, size = pumped.seq + 1, [], 0
    if first <= last:
        yield await asyncio.to_thread(_write_segment, path, first, last, held)


def _kept(pumped: Pumped) -> Kept:
    return Kept(pumped.seq, pumped.subject, dict(pumped.headers), pumped.payload)


def _write_segment(path: Path, first: int, last: int, held: Sequence[Kept]) -> Segment:
    encoder = msgspec.msgpack.Encoder()
    records = map(encoder.encode, held)
    raw = b"".join(_LENGTH.pack(len(record)) + record for record in records)
    packed = gzip.compress(raw, LEVEL, mtime=0)
    digest = sha256(packed).hexdigest()
    # the name differs when the content does: the old manifest holds until the new one
    name = f"{first:012d}-{last:012d}-{digest[:8]}.gz"
    _put(path / name, packed)
    return Segment(file=name, first=first, last=last, events=len(held), sha256=digest)


def _records(raw: bytes) -> Iterator[Kept]:
    decoder = msgspec.msgpack.Decoder(Kept)
    at = 0
    while at < len(raw):
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        yield decoder.decode(raw[at : at + length])
        at += length


LOCK = ".lock"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the folder against a second run; the kernel lets go however we end."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Invalid(f"{path} cannot be written to: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(f"A backup to {path} is already running.") from None
    try:
        yield
    finally:
        os.close(handle)


def _put(file: Path, content: bytes) -> None:
    """Write a file that is whole or not there, also after a power loss."""
    unfinished = file.with_name(f"{file.name}.new")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sweep(path: Path, segments: Sequence[Segment]) -> None:
    """Remove what the manifest does not name any more."""
    named = {segment.file for segment in segments}
    for file in [*path.glob("*.gz"), *path.glob("*.new")]:
        if file.name not in named:
            file.unlink()
