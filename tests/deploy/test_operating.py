"""The operator's commands against the running system, as a person types them."""

import asyncio
import json
import os
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local import System, running
from deploy.projections import KNOWN
from shared.connection import connect_nats, drain
from shared.contents import contents
from shared.log import Log
from shared.postgres import connect
from shared.settings import Settings
from tests.factories import NOON, a_message_synced, an_entry, the_log


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("operating")]

OPENSYNC = str(Path(sysconfig.get_path("scripts")) / "opensync")
MANY = 4000
DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def started(folder: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        OPENSYNC,
        *words,
        env={"PATH": os.environ["PATH"], "OPENSYNC_DATA_DIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Done:
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def opensync(folder: Path, *words: str) -> Done:
    return await ended(await started(folder, *words))


@asynccontextmanager
async def log_of(system: System) -> AsyncIterator[Log]:
    client = await connect_nats(system.run.nats_url, name="test")
    yield Log(client)
    await drain(client)


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """A system with a short story and a long one in it."""
    many = [
        an_entry(a_message_synced(f"m{n}", session=f"many {n % 40}"), time=NOON + n)
        for n in range(MANY)
    ]
    async with running(Settings()) as system:
        async with log_of(system) as log:
            await log.append_batch([*the_log(), *many])
        yield system


@pytest.fixture(scope="module")
def folder(system: System) -> Path:
    return system.settings.data_dir


async def test_status(folder: Path) -> None:
    """
    A system that is well says so, with its log's fsync and each partition's place.
    """
    done = await opensync(folder, "status", "--json")
    shown = await opensync(folder, "status")
    told = done.json

    assert (0, []) == (done.status, told["needs"]), done.err
    assert "always" == told["log"]["fsync"]
    assert 16 == len(told["projections"]["ingest"]["lanes"])
    assert "ingest-sessions" in shown.out


async def test_away_needs_a_person(system: System, folder: Path) -> None:
    """
    A service that does not answer is named, and the exit code says so.
    """
    pid = system.run.pids["ingest"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = await opensync(folder, "status", "--json")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (1, ["ingest is away"]) == (done.status, done.json["needs"])


@pytest.mark.parametrize("words", [[], ["--verify"], ["--workers", "3"]])
async def test_replay(folder: Path, words: list[str]) -> None:
    """
    A replay swaps in a copy with every event, and leaves nothing beside it.
    """
    done = await opensync(folder, "replay", "ingest-sessions", "--json", *words)
    copies = await opensync(folder, "copies", "ingest-sessions", "--json")

    assert 0 == done.status, done.err
    assert MANY <= done.json["events"]
    assert ["live"] == [each["copy"] for each in copies.json]


async def test_replay_all(folder: Path) -> None:
    """
    All projections are replayed, one after the other.
    """
    done = await opensync(folder, "replay", "--all", "--verify", "--json")

    assert 0 == done.status, done.err
    names = [json.loads(line)["projection"] for line in done.out.splitlines()]
    assert list(KNOWN) == names


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["replay", "nope"], "no projection 'nope'; there are"),
        (["replay"], "Name a projection"),
        (["replay", "ingest-sessions", "--workers", "0"], "from 1 to"),
        (["replay", "ingest-sessions", "--resume", "--discard"], "not both"),
        (["replay", "ingest-sessions", "--as-of", "0"], "before its first event"),
        (["replay", "ingest-sessions", "--as-of", "999999"], "yet to come"),
        (["replay", "ingest-sessions", "--as-of", "2001-01-01"], "that early"),
        (["replay", "ingest-sessions", "--as-of", "lunch"], "neither a sequence"),
        (["replay", "ingest-sessions", "--as-of", "9", "--verify"], "goes with none"),
        (["diff", "ingest-sessions", "7"], "no copy '7'"),
        (["copies", "ingest-sessions", "--drop", "live"], "no copy 'live'"),
        (["deadletters", "show", "ingest-sessions", "3"], "no dead letter 3"),
        (["deadletters", "retry", "nope", "3"], "no projection 'nope'"),
        (["deadletters", "retry", "ingest-sessions"], "Name a sequence"),
        (["restore", "/nowhere"], "no backup"),
        (["verify", "--backup", "/nowhere"], "no backup"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_bad_operations(folder: Path, words: list[str], sentence: str) -> None:
    """
    What cannot be done is refused with a sentence and exit code 2.
    """
    done = await opensync(folder, *words)

    assert (2, "") == (done.status, done.out)
    assert sentence in done.err
    assert 1 == len(done.err.splitlines())


async def test_as_of(folder: Path) -> None:
    """
    A copy as of a sequence can be listed, held against the live one, and dropped.
    """
    done = await opensync(
        folder, "replay", "ingest-sessions", "--as-of", "500", "--json"
    )
    differs = await opensync(folder, "diff", "ingest-sessions", "500", "--json")
    equal = await opensync(folder, "diff", "ingest-sessions", "live", "live")
    dropped = await opensync(
        folder, "copies", "ingest-sessions", "--drop", "500", "--json"
    )

    assert (0, "500") == (done.status, done.json["copy"])
    assert 1 == differs.status
    assert {"500"} == {
        each["missingIn"]
        for each in differs.json["differences"]
        if each["table"] == "message"
    }
    assert 0 == equal.status
    assert ["live"] == [each["copy"] for each in dropped.json]


async def test_difference_is_named(system: System, folder: Path) -> None:
    """
    A row that does not follow from the log is named by table, key and column.
    """
    url = system.run.postgres_url
    async with await connect(url, schema="ingest") as db:
        change = "UPDATE message SET role = %s WHERE external_id = 'toolu_1'"
        await db.execute(change, ("tampered",))
        replay = await opensync(
            folder, "replay", "ingest-sessions", "--verify", "--json"
        )
        deep = await opensync(folder, "verify", "--deep", "--json")
        await db.execute(change, ("assistant",))
    good = await opensync(folder, "verify", "--deep")

    assert (1, ["message", ["role"]]) == (
        replay.status,
        [replay.json["differences"][0][name] for name in ("table", "columns")],
    )
    assert (1, False) == (deep.status, deep.json["ok"])
    assert 0 == good.status, good.out


async def growing(folder: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until a replay has begun to fill its copy."""
    async with asyncio.timeout(DEADLINE_S):
        while process.returncode is None:
            copies = await opensync(folder, "copies", "ingest-sessions", "--json")
            if "unfinished" in [each["copy"] for each in copies.json]:
                return
    raise AssertionError("it has ended before it could be interrupted")


async def test_interrupted(system: System, folder: Path) -> None:
    """
    Ctrl-C leaves nothing behind; after a crash the copy can be finished or discarded;
    a second replay meanwhile is refused.
    """
    async with log_of(system) as log:
        for n in range(40):
            await log.append_batch(
                [
                    an_entry(a_message_synced(f"x{n}-{i}", session=f"x{i % 9}"))
                    for i in range(500)
                ]
            )
    words = ("replay", "ingest-sessions")
    stopped = await started(folder, *words, "--workers", "2")
    await growing(folder, stopped)
    second = await opensync(folder, *words)
    stopped.send_signal(signal.SIGINT)
    given_up = await ended(stopped)
    left = await opensync(folder, "copies", "ingest-sessions", "--json")

    assert (2, True) == (second.status, "already running" in second.err)
    assert (130, True) == (given_up.status, "old copy serves on" in given_up.err)
    assert ["live"] == [each["copy"] for each in left.json]

    for word in ("--resume", "--discard"):
        crashed = await started(folder, *words)
        await growing(folder, crashed)
        crashed.kill()
        await ended(crashed)
        refused = await opensync(folder, *words)
        again = await opensync(folder, *words, word)

        assert (2, True) == (refused.status, "unfinished" in refused.err)
        assert 0 == again.status, again.err


async def test_dead_letters(system: System, folder: Path) -> None:
    """
    An event that cannot be applied is listed, shown, retried and skipped.
    """
    url = system.run.postgres_url
    trap = "ALTER TABLE message ADD CONSTRAINT trap CHECK (external_id <> 'trapped')"
    async with await connect(url, schema="ingest") as db, log_of(system) as log:
        await db.execute(trap.encode())
        text = "so long " * 100
        for name in ("trapped", "after"):
            event = a_message_synced(name, session="trap", text_content=text)
            await log.append(an_entry(event))
        seq = str(await log.head() - 1)
        await blocked(folder)
        status = await opensync(folder, "status", "--json")
        verified = await opensync(folder, "verify", "--json")
        shown = await opensync(folder, "deadletters", "show", "ingest-sessions", seq)
        failed = await opensync(folder, "deadletters", "retry", "ingest-sessions", seq)
        await db.execute("ALTER TABLE message DROP CONSTRAINT trap")
        retried = await opensync(
            folder, "deadletters", "retry", "ingest-sessions", "--all", "--json"
        )
        left = await opensync(folder, "deadletters", "list", "--json")

    assert (1, True) == (status.status, "2 dead letters" in status.json["needs"][0])
    assert (1, False) == (verified.status, verified.json["ok"])
    assert "CheckViolation" in shown.out and "so long" in shown.out
    assert text not in shown.out
    assert (1, True) == (failed.status, "CheckViolation" in failed.err)
    assert [2] == [each["applied"] for each in retried.json]
    assert (0, []) == (left.status, left.json)


async def blocked(folder: Path) -> None:
    """Wait until two events are parked."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            done = await opensync(folder, "deadletters", "list", "--json")
            if 2 == len(done.json):
                return


async def test_backup_restore(system: System, folder: Path, tmp_path: Path) -> None:
    """
    A log that was saved while the system ran is enough to build an equal system.
    """
    backup, other = tmp_path / "backup", tmp_path / "other"
    saved = await opensync(folder, "backup", str(backup), "--json")
    occupied = await opensync(folder, "restore", str(backup))
    restored = await opensync(other, "restore", str(backup), "--json")
    assert (0, 2, 0) == (saved.status, occupied.status, restored.status), restored.err
    async with running(Settings(), data_dir=other) as second:
        verified = await opensync(other, "verify", "--json")
        assert (0, True) == (verified.status, verified.json["ok"]), verified.out
        for known in KNOWN.values():
            schema = known.projection.schema
            held = []
            for each in (system, second):
                url = each.run.postgres_url
                async with await connect(url, schema=schema) as db:
                    held.append(await contents(db, schema))
            assert held[0] == held[1]
    again = await opensync(other, "restore", str(backup))

    assert saved.json["last"] == restored.json["last"]
    assert (2, True) == (again.status, "already" in again.err)
