"""What ingest keeps of what agents say, on a real log and a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client

from services.ingest import queries
from services.ingest.handlers import Sessions
from services.ingest.projection import PROJECTION
from shared import subjects
from shared.errors import NotFound
from shared.log import Log
from shared.postgres import Pool, open_pool
from shared.requests import (
    DeleteSession,
    GetPublicSession,
    GetSession,
    ListExternalIds,
    ListSessions,
    RenameSession,
    SessionDetail,
    ShareSession,
    UnshareSession,
)
from tests.conftest import working
from tests.factories import ADA, BOB, NOON, a_message_synced, a_session_synced, an_entry


Sync = Callable[..., Awaitable[dict[int, int]]]


@pytest.fixture
async def pool(postgres_url: str, client: Client) -> AsyncIterator[Pool]:
    pool = open_pool(postgres_url, schema="ingest")
    async with working(PROJECTION, postgres_url=postgres_url, client=client), pool:
        yield pool


@pytest.fixture
def sync(log: Log) -> Sync:
    """Append events; return the positions a reader must wait for."""

    async def append(*events: Any, user: Any = ADA, time: int = NOON) -> dict[int, int]:
        after: dict[int, int] = {}
        for number, event in enumerate(events):
            entry = an_entry(event, user=user, time=time + number)
            appended = await log.append(entry)
            after[subjects.partition(entry.user, entry.session)] = appended.seq
        return after

    return append


async def shown(
    pool: Pool, after: dict[int, int], id_: str = "s1", user: Any = ADA
) -> SessionDetail:
    return await queries.get_session(pool, GetSession(user=user, id=id_, after=after))


class TestMerge:
    async def test_last_writer_wins_per_field(self, pool: Pool, sync: Sync) -> None:
        """
        A later sync changes the fields it names and leaves the others.
        """
        after = await sync(
            a_session_synced(title="A", model="x", prompt_tokens=5, cost=1.5),
            a_session_synced(title="B", prompt_tokens=3),
        )

        session = (await shown(pool, after)).session

        assert ("B", "x", 3, 1.5) == (
            session.title,
            session.model,
            session.prompt_tokens,
            session.cost,
        )

    async def test_tokens_go_down(self, pool: Pool, sync: Sync) -> None:
        """
        Totals are absolute: a smaller one replaces a larger one.
        """
        after = await sync(
            a_session_synced(prompt_tokens=100), a_session_synced(prompt_tokens=7)
        )

        assert 7 == (await shown(pool, after)).session.prompt_tokens

    async def test_update_without_parts_keeps_them(
        self, pool: Pool, sync: Sync
    ) -> None:
        """
        A message synced again without parts keeps the parts it had.
        """
        after = await sync(
            a_message_synced(parts=[{"type": "text", "content": "hello"}]),
            a_message_synced(text_content="changed"),
        )

        message = (await shown(pool, after)).messages[0]

        assert "changed" == message.text_content
        assert ["hello"] == [part.content for part in message.parts]

    async def test_message_creates_session(self, pool: Pool, sync: Sync) -> None:
        """
        A message that comes before its session makes the session.
        """
        after = await sync(a_message_synced(source="claude-code"))

        session = (await shown(pool, after)).session

        assert ("claude-code", 1, "Fix the login redirect") == (
            session.source,
            session.message_count,
            session.title,
        )
        assert "title" in session.derived

    async def test_given_time_corrects_heard_time(self, pool: Pool, sync: Sync) -> None:
        """
        A client's own time replaces the time at which we heard of a message.
        """
        after = await sync(
            a_message_synced("m1", text_content="second"),
            a_message_synced("m2", text_content="first"),
            a_message_synced("m1", text_content=None, created_at=NOON - 1000),
            a_message_synced("m2", text_content=None, created_at=NOON - 2000),
        )

        detail = await shown(pool, after)

        assert ["first", "second"] == [m.text_content for m in detail.messages]
        assert "first" == detail.session.title
        assert (NOON - 2000, 1000) == (
            detail.session.created_at,
            detail.session.duration_ms,
        )

    async def test_resync_counts_once(self, pool: Pool, sync: Sync) -> None:
        """
        A message sent again corrects its share of the sums.
        """
        message = a_message_synced("m2", role="assistant", prompt_tokens=10, cost=0.5)
        after = await sync(message, message, a_message_synced("m2", prompt_tokens=4))

        session = (await shown(pool, after)).session

        assert (1, 4, 0.5) == (
            session.message_count,
            session.prompt_tokens,
            session.cost,
        )

    async def test_nul_is_replaced(self, pool: Pool, sync: Sync) -> None:
        """
        A NUL, which Postgres cannot hold, is stored as U+FFFD wherever it stands.
        """
        after = await sync(
            a_message_synced(
                text_content="a\x00b",
                parts=[{"type": "x", "content": {"k\x00": "\x00"}}],
                extra={"a": "\x00"},
            ),
        )

        message = (await shown(pool, after)).messages[0]

        assert "a\ufffdb" == message.text_content
        assert {"k\ufffd": "\ufffd"} == message.parts[0].content


class TestTools:
    async def test_call_and_result_find_each_other(
        self, pool: Pool, sync: Sync
    ) -> None:
        """
        A tool call and its result in another message name each other.
        """
        after = await sync(
            a_message_synced(
                "toolu_1",
                role="assistant",
                parts=[
                    {"type": "tool-call", "content": {"toolName": "Bash", "args": {}}}
                ],
            ),
            a_message_synced(
                "m2",
                role="tool",
                parts=[
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
                ],
            ),
        )

        call, result = (await shown(pool, after)).messages

        assert ("Bash", result.id) == (
            call.parts[0].tool_name,
            call.parts[0].paired_message_id,
        )
        assert call.id == result.parts[0].paired_message_id


class TestTenancy:
    async def test_same_ids_do_not_meet(self, pool: Pool, sync: Sync) -> None:
        """
        Two users who send the same ids keep two sessions.
        """
        mine = await sync(a_message_synced(text_content="mine"))
        theirs = await sync(a_message_synced(text_content="theirs"), user=BOB)

        assert "mine" == (await shown(pool, mine)).messages[0].text_content
        assert (
            "theirs" == (await shown(pool, theirs, user=BOB)).messages[0].text_content
        )

    async def test_foreign_id_is_not_found(self, pool: Pool, sync: Sync) -> None:
        """
        Another user's internal id looks like no id at all.
        """
        after = await sync(a_message_synced())
        session = (await shown(pool, after)).session

        with pytest.raises(NotFound, match="Session not found"):
            await shown(pool, {}, id_=session.id, user=BOB)


class TestDecisions:
    async def test_share_unshare_share(self, pool: Pool, sync: Sync, log: Log) -> None:
        """
        Sharing again after unsharing gives a new slug; the old one is dead.
        """
        await sync(a_message_synced(text_content="/home/ada/x password=hunter2hunter2"))
        sessions = Sessions(log)
        first = await sessions.handle_session(ShareSession(user=ADA, id="s1"))
        await sessions.handle_session(UnshareSession(user=ADA, id="s1"))
        second = await sessions.handle_session(ShareSession(user=ADA, id="s1"))
        again = await sessions.handle_session(ShareSession(user=ADA, id="s1"))
        after = dict.fromkeys(await log.heads(ADA), second.seq)

        public = await queries.get_public_session(
            pool, GetPublicSession(slug=second.slug or "", after=after)
        )

        assert first.slug != second.slug == again.slug
        assert "hunter2" not in str(public) and "/home/ada" not in str(public)
        with pytest.raises(NotFound):
            await queries.get_public_session(
                pool, GetPublicSession(slug=first.slug or "")
            )

    async def test_rename_outranks_the_client(
        self, pool: Pool, sync: Sync, log: Log
    ) -> None:
        """
        A person's title stays when the plugin sends its own again.
        """
        await sync(a_session_synced(title="slug"))
        await Sessions(log).handle_session(
            RenameSession(user=ADA, id="s1", title="Mine")
        )
        after = await sync(a_session_synced(title="slug"))

        assert "Mine" == (await shown(pool, after)).session.title

    async def test_deleted_stays_deleted(
        self, pool: Pool, sync: Sync, log: Log
    ) -> None:
        """
        A late retry of a plugin does not bring a deleted session back.
        """
        await sync(a_message_synced())
        await Sessions(log).handle_session(DeleteSession(user=ADA, id="s1"))
        after = await sync(a_message_synced("m2"), a_session_synced())

        with pytest.raises(NotFound):
            await shown(pool, after)

    async def test_unknown_session(self, log: Log) -> None:
        """
        A decision about a session that was never synced is refused.
        """
        with pytest.raises(NotFound):
            await Sessions(log).handle_session(DeleteSession(user=ADA, id="nope"))


class TestPaging:
    async def test_sessions_page_by_page(self, pool: Pool, sync: Sync) -> None:
        """
        Pages follow each other without a gap or a repeat, in the order asked for.
        """
        after = await sync(
            *(a_session_synced(f"s{n}", prompt_tokens=n % 4) for n in range(11))
        )
        seen: list[str] = []
        cursor = None
        while True:
            page = await queries.list_sessions(
                pool,
                ListSessions(
                    user=ADA, limit=3, cursor=cursor, sort="tokens", after=after
                ),
            )
            seen += [session.external_id for session in page.sessions]
            cursor = page.next_cursor
            if cursor is None:
                break

        assert 11 == len(seen) == len(set(seen))
        assert [3, 3, 2, 2] == [int(name[1:]) % 4 for name in seen[:4]][:2] + [
            int(name[1:]) % 4 for name in seen[2:4]
        ]

    async def test_messages_page_by_size(self, pool: Pool, sync: Sync) -> None:
        """
        A page of large messages is cut short rather than grown without bound.
        """
        after = await sync(
            *(a_message_synced(f"m{n}", text_content="x" * 3_000_000) for n in range(3))
        )
        page = await shown(pool, after)
        rest = await queries.get_session(
            pool, GetSession(user=ADA, id="s1", cursor=page.next_cursor)
        )

        assert (2, 1, None) == (
            len(page.messages),
            len(rest.messages),
            rest.next_cursor,
        )

    async def test_external_ids(self, pool: Pool, sync: Sync) -> None:
        """
        The list of external ids holds what was just acknowledged.
        """
        after = await sync(a_session_synced("s1"), a_message_synced(session="s2"))

        listed = await queries.list_external_ids(
            pool, ListExternalIds(user=ADA, after=after)
        )

        assert {"s1", "s2"} == set(listed.session_ids)


class TestRealAgents:
    async def test_opencode_ids_tell_the_time(self, pool: Pool, sync: Sync) -> None:
        """
        OpenCode's answers arrive before its questions; its ids put them in order.
        """
        heard = 1_795_251_743_109
        after = await sync(
            a_message_synced(
                "msg_1fd57a3e5001mEP0HkOZn7kaBt", role="assistant", text_content="Two."
            ),
            a_message_synced("msg_1fd57a230001mEP0HkOZn7kaBt", text_content="List"),
            time=heard,
        )

        detail = await shown(pool, after)

        assert ["List", "Two."] == [m.text_content for m in detail.messages]
        assert 0 < heard - detail.messages[0].created_at < 60_000
        assert all("createdAt" in m.derived for m in detail.messages)

    async def test_resumed_session_outlives_its_summary(
        self, pool: Pool, sync: Sync
    ) -> None:
        """
        What a client summed up before a session went on is not shown as its word.
        """
        await sync(
            a_message_synced("m1", text_content="First prompt"),
            a_session_synced(title="First prompt", duration_ms=900, end_reason="other"),
        )
        after = await sync(
            a_session_synced(title="Second prompt"),
            a_message_synced("m2", text_content="Second prompt"),
            time=NOON + 300_000,
        )

        session = (await shown(pool, after)).session

        assert (None, 300_001) == (session.end_reason, session.duration_ms)
        assert "First prompt" == session.title
        assert {"durationMs"} <= set(session.derived)
