"""The log as files, and back: equal, incremental, and honest about damage."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.nats import EmbeddedNats
from deploy.nats.stream import ensure_stream
from shared import backup, ids, subjects
from shared.backup import Damaged, Saved, check_backup, load, read_manifest, save
from shared.connection import connect_nats, drain
from shared.errors import Conflict, Invalid, NotFound
from shared.events import SessionDeleted
from shared.log import Log, Stored
from shared.walk import log_state
from tests.conftest import serving
from tests.factories import ADA, a_message_synced, an_entry, the_log


def unwatched(_at: int, _of: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Client]:
    """Another log, with nothing in it."""
    server = EmbeddedNats(tmp_path / "other")
    (tmp_path / "other").mkdir()
    async with serving(server, tmp_path / "other.log"):
        await ensure_stream(server.url)
        client = await connect_nats(server.url, name="empty")
        yield client
        await drain(client)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "SEGMENT_EVENTS", 10)
    monkeypatch.setattr(backup, "SHORT", 5)


async def saved(client: Client, folder: Path) -> Saved:
    return await save(client, folder, watch=unwatched)


async def everything(client: Client) -> list[Stored]:
    return [stored async for stored in Log(client).read()]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.gz"))


def flip_a_bit(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


@pytest.mark.usefixtures("small_segments")
async def test_there_and_back(
    client: Client, log: Log, folder: Path, empty: Client
) -> None:
    """
    A restored log has the same events at the same sequences, gaps included.
    """
    story = [entry for entry in the_log() if not entry.event.erases]
    many = [an_entry(a_message_synced(f"n{n}", session=f"n{n % 7}")) for n in range(30)]
    await log.append_batch([*many, *story, *many])
    last = await log.head()
    for seq in (1, 7, 8, last):
        await client.jetstream().delete_msg(subjects.STREAM, seq)
    await saved(client, folder)
    assert last == await load(empty, folder, watch=unwatched)
    before, after = (await log_state(client))[1], (await log_state(empty))[1]

    assert await everything(client) == await everything(empty)
    assert (before.first_seq, before.last_seq) == (after.first_seq, after.last_seq)
    assert before.removed() == after.removed()


@pytest.mark.usefixtures("small_segments")
async def test_incremental(client: Client, log: Log, folder: Path) -> None:
    """
    A second run writes what is new, and nothing if nothing is.
    """
    await log.append_batch([an_entry(a_message_synced(f"m{n}")) for n in range(25)])
    first = await saved(client, folder)
    again = await saved(client, folder)
    await log.append_batch([an_entry(a_message_synced(f"n{n}")) for n in range(10)])
    more = await saved(client, folder)

    assert [(3, 0), (0, 3), (1, 3)] == [
        (run.segments_written, run.segments_kept) for run in (first, again, more)
    ]
    assert (35, 35, 0) == (more.last, more.events, more.missing)
    assert all(check.is_good for check in check_backup(folder))


@pytest.mark.usefixtures("small_segments")
async def test_erased_from_the_backup_too(
    client: Client, log: Log, folder: Path
) -> None:
    """
    The next run writes segments again of which something has been erased.
    """
    await log.append_batch(
        [an_entry(a_message_synced(f"m{n}", session=f"s{n // 10}")) for n in range(30)]
    )
    await saved(client, folder)
    session = ids.session_id(ADA, "s1")
    await log.append(an_entry(SessionDeleted(), session="s1"))
    await log.purge(subjects.stored("MessageSynced", ADA, session))
    second = await saved(client, folder)

    assert 2 == second.segments_kept
    assert (21, 0) == (second.events, second.missing)
    assert len(read_manifest(folder).segments) == len(segments(folder))


@pytest.mark.usefixtures("small_segments")
async def test_a_tombstone_decides(
    client: Client, log: Log, folder: Path, empty: Client
) -> None:
    """
    A session that was deleted but not purged when it was saved does not come back.
    """
    await log.append_batch([an_entry(a_message_synced(f"m{n}")) for n in range(12)])
    await log.append(an_entry(a_message_synced(session="s2")))
    await log.append(an_entry(SessionDeleted(), session="s1"))
    await saved(client, folder)
    await load(empty, folder, watch=unwatched)

    assert [13, 14] == [stored.seq for stored in await everything(empty)]


@pytest.mark.usefixtures("small_segments")
async def test_flipped_bit(
    client: Client, log: Log, folder: Path, empty: Client
) -> None:
    """
    A damaged segment is named by its file, and nothing is restored from it.
    """
    await log.append_batch([an_entry(a_message_synced(f"m{n}")) for n in range(30)])
    await saved(client, folder)
    file = segments(folder)[1]
    flip_a_bit(file)
    (check,) = check_backup(folder)

    assert (30, 20) == (check.expected, check.found)
    assert file.name in check.problems[0]
    with pytest.raises(Damaged, match=file.name):
        await load(empty, folder, watch=unwatched)
    assert 0 == (await log_state(empty))[1].last_seq


async def test_damaged_manifest(client: Client, log: Log, folder: Path) -> None:
    """
    A manifest that says something else than it said is named.
    """
    await log.append_batch(the_log())
    await saved(client, folder)
    file = folder / backup.MANIFEST
    file.write_text(file.read_text().replace('"events": ', '"events": 1'))

    with pytest.raises(Damaged, match=backup.MANIFEST):
        check_backup(folder)


async def test_not_into_a_log_with_events(
    client: Client, log: Log, folder: Path
) -> None:
    """
    A log that holds anything is left as it is.
    """
    await log.append_batch(the_log())
    await saved(client, folder)
    before = await everything(client)

    with pytest.raises(Conflict, match="not empty"):
        await load(client, folder, watch=unwatched)
    assert before == await everything(client)


async def test_refusals(client: Client, log: Log, folder: Path, empty: Client) -> None:
    """
    A folder with something else, another log's backup and no backup are refused.
    """
    await log.append_batch(the_log())
    await saved(client, folder)
    with pytest.raises(Conflict, match="another log"):
        await saved(empty, folder)
    with pytest.raises(Invalid, match="neither empty"):
        await saved(client, folder.parent)
    with pytest.raises(NotFound, match="no backup"):
        await load(empty, folder / "nowhere", watch=unwatched)
