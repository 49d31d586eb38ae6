"""Power loss: no acknowledgement leaves the server before its event is on the disk.

The kernel is watched, not the server's word: strace tells in which order the server
writes to the stream's files, has them flushed, and answers on the client's socket.
"""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.nats import EmbeddedNats
from deploy.local.process import Process
from deploy.nats.stream import ensure_stream
from shared.connection import connect_nats, drain
from shared.events import MessageSynced
from shared.log import Entry, Log
from tests.conftest import serving


CALLS = "write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync"
WRITES = {"write", "writev", "pwrite64", "sendto", "sendmsg"}
SYNCS = {"fsync", "fdatasync"}
BLOCK = re.compile(r"/streams/EVENTS/msgs/\d+\.blk$")
ATTACH_S = 10.0
SINGLES, BATCH = 12, 30
HEADERS = 1 << 31
"""In a record's length: the message has headers. Length, sequence, then the rest."""
RECORD_HEAD = 12


@dataclass(slots=True)
class Watched:
    """What the trace says, line by line."""

    written: dict[str, set[int]] = field(default_factory=dict)
    """Per block file, the sequences whose write has returned."""
    syncing: dict[str, set[int]] = field(default_factory=dict)
    """Per thread, what was written when the flush that it waits for began."""
    durable: set[int] = field(default_factory=set)
    acknowledged: list[int] = field(default_factory=list)
    early: list[int] = field(default_factory=list)
    """Acknowledged before a flush that began after their write had returned."""
    _begun: dict[str, str] = field(default_factory=dict)

    def read(self, line: str) -> None:
        thread, _, said = line.split(None, 2)
        if said.endswith("<unfinished ...>"):
            self._begun[thread] = said.removesuffix("<unfinished ...>")
            self._begin(thread, self._begun[thread])
        elif resumed := re.match(r"<\.\.\. \w+ resumed>", said):
            if thread in self._begun:
                self._end(thread, self._begun.pop(thread) + said[resumed.end() :])
        elif re.match(r"\w+\(", said):
            self._begin(thread, said)
            self._end(thread, said)

    def _begin(self, thread: str, call: str) -> None:
        name, path = _named(call)
        if name in SYNCS and BLOCK.search(path):
            self.syncing[thread] = set(self.written.get(path, ()))
        elif name in WRITES and path.startswith("TCP"):
            for seq in _told(_bytes(call)):
                self.acknowledged.append(seq)
                if seq not in self.durable:
                    self.early.append(seq)

    def _end(self, thread: str, call: str) -> None:
        name, path = _named(call)
        if name in SYNCS and " = 0" in call:
            self.durable |= self.syncing.pop(thread, set())
        elif name in WRITES and BLOCK.search(path):
            self.written.setdefault(path, set()).update(_records(_bytes(call)))


def _named(call: str) -> tuple[str, str]:
    found = re.match(r"(\w+)\(\d+<((?:[^>]|->)*)>", call)
    if not found:
        return call.partition("(")[0], ""
    spelled = found[2].startswith("\\x")
    return found[1], _hex(found[2]).decode() if spelled else found[2]


def _bytes(call: str) -> bytes:
    """Join what a call writes; strace spells every byte in hexadecimal."""
    pieces = re.findall(r'"((?:\\x[0-9a-f]{2})*)"', call)
    return _hex("".join(pieces))


def _hex(spelled: str) -> bytes:
    return bytes.fromhex(spelled.replace("\\x", ""))


def _records(block: bytes) -> set[int]:
    """Read the sequences of the messages in a piece of a block file."""
    found, at = set(), 0
    while at + RECORD_HEAD <= len(block):
        found.add(int.from_bytes(block[at + 4 : at + RECORD_HEAD], "little"))
        at += int.from_bytes(block[at : at + 4], "little") % HEADERS
    return found


def _told(wire: bytes) -> list[int]:
    """Read which sequences an answer acknowledges: one, or a whole batch."""
    told: list[int] = []
    for said in re.findall(rb'\{"stream":"EVENTS","seq":[^}]*\}', wire):
        ack = json.loads(said)
        told += range(ack["seq"] - ack.get("count", 1) + 1, ack["seq"] + 1)
    return told


@asynccontextmanager
async def traced(pid: int, trace: Path) -> AsyncIterator[None]:
    """Watch every thread of a process until the block ends."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    options = ["-f", "-ttt", "-yy", "-xx", "-s", "65536", "-e", f"trace={CALLS}"]
    watcher = await asyncio.create_subprocess_exec(
        "strace", *options, "-o", trace, "-p", str(pid), stderr=asyncio.subprocess.PIPE
    )
    assert watcher.stderr
    async with asyncio.timeout(ATTACH_S):
        said = (await watcher.stderr.readline()).decode()
    if "attached" not in said:
        await watcher.wait()
        pytest.skip(f"strace may not watch here: {said.strip()}")
    try:
        yield
    finally:
        watcher.terminate()
        await watcher.wait()


def entry(number: int) -> Entry:
    event = MessageSynced(
        session_external_id="power",
        external_id=f"m{number}",
        role="user",
        text_content=f"number {number}",
    )
    return Entry(event=event, user=uuid4(), session=uuid4(), time=1, correlation_id="c")


async def watched(server: EmbeddedNats, process: Process, folder: Path) -> Watched:
    """Append alone, at once and in batches while the server is watched."""
    await ensure_stream(server.url)
    client = await connect_nats(server.url, name="power")
    log, trace = Log(client), folder / "trace"
    assert process.pid
    async with traced(process.pid, trace):
        appended = [await log.append(entry(number)) for number in range(SINGLES)]
        appended += await asyncio.gather(*map(log.append, map(entry, range(SINGLES))))
        batches = ([entry(n) for n in range(BATCH)] for _ in range(3))
        for several in await asyncio.gather(*map(log.append_batch, batches)):
            appended += several
    await drain(client)
    found = Watched()
    for line in trace.read_text().splitlines():
        found.read(line)
    assert sorted(found.acknowledged) == sorted(one.seq for one in appended)
    return found


@asynccontextmanager
async def log_server(
    folder: Path, change: Callable[[str], str]
) -> AsyncIterator[tuple[EmbeddedNats, Process]]:
    """Run the embedded server with a changed configuration."""
    server = EmbeddedNats(folder)
    server.prepare()
    configuration = server.folder / "nats.conf"
    text = change(configuration.read_text())
    server.prepare = lambda: configuration.write_text(text)  # type: ignore[method-assign,assignment]
    async with serving(server, folder / "nats.log") as process:
        yield server, process


async def test_flushed_before_acknowledged(tmp_path: Path):
    """Single appends and atomic batches are acknowledged after their flush has ended."""
    async with log_server(tmp_path, lambda text: text) as (server, process):
        found = await watched(server, process, tmp_path)

    assert found.early == []
    assert set(found.acknowledged) <= found.durable
    assert len(found.acknowledged) == 2 * SINGLES + 3 * BATCH


async def test_watch_sees_the_difference(tmp_path: Path):
    """With the server's own default, which flushes later, the same watch finds it out."""
    async with log_server(tmp_path, lambda text: text.replace("always", '"2m"')) as (
        server,
        process,
    ):
        found = await watched(server, process, tmp_path)

    assert sorted(found.early) == sorted(found.acknowledged)
