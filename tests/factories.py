"""Canonical events, and THE_LOG: a short story that touches every event type."""

from typing import Any
from uuid import UUID, uuid5

import msgspec

from shared import ids, subjects
from shared.events import (
    ApiKeyIssued,
    ApiKeyRevoked,
    ApiKeyUsed,
    Event,
    MessageSynced,
    SessionDeleted,
    SessionRenamed,
    SessionShared,
    SessionSynced,
    SessionUnshared,
    UserErased,
    UserRegistered,
)
from shared.log import Entry


ADA = ids.user_id("ada")
BOB = ids.user_id("bob")
CAROL = ids.user_id("carol")
NOON = 1_770_000_000_000
"""2026-02-02, milliseconds."""
KEY = uuid5(ADA, "key")


def a_session_synced(external_id: str = "s1", **changes: Any) -> SessionSynced:
    return SessionSynced(external_id=external_id, **changes)


def a_message_synced(
    external_id: str = "m1", *, session: str = "s1", **changes: Any
) -> MessageSynced:
    return MessageSynced(
        session_external_id=session,
        external_id=external_id,
        **{"role": "user", "text_content": "Fix the login redirect", **changes},
    )


def an_entry(
    event: Event, *, user: UUID = ADA, session: str | None = None, time: int = NOON
) -> Entry:
    """Address an event as the gateway would; its id follows from its content."""
    match event:
        case SessionSynced(external_id=external_id):
            session = external_id
        case MessageSynced(session_external_id=external_id):
            session = external_id
    return Entry(
        event=event,
        user=user,
        session=ids.session_id(user, session) if session else None,
        time=time,
        correlation_id="a-test",
    )


def the_log() -> list[Entry]:
    """Two users, three sessions, a decision of every kind."""
    call = {
        "type": "tool-call",
        "content": {"toolName": "Read", "args": {"file_path": "a.ts"}},
    }
    result = {"type": "tool-result", "content": "file text"}
    return [
        an_entry(UserRegistered(name="ada", email="ada@example.com")),
        an_entry(
            ApiKeyIssued(
                key_id=KEY,
                name="laptop",
                hash="0" * 64,
                prefix="osk_abcd",
                scopes=("sync", "read"),
            )
        ),
        an_entry(a_session_synced(source="claude-code", project_path="/home/ada/demo")),
        an_entry(a_message_synced("m1", source="claude-code"), time=NOON + 10),
        an_entry(
            a_message_synced(
                "toolu_1", role="assistant", text_content=None, parts=[call, result]
            ),
            time=NOON + 20,
        ),
        an_entry(
            a_message_synced(
                "m2",
                role="assistant",
                text_content="Done.",
                model="claude-opus-4-8",
                prompt_tokens=10,
                completion_tokens=4,
                cost=0.001,
            ),
            time=NOON + 3000,
        ),
        an_entry(
            a_session_synced(
                prompt_tokens=947, completion_tokens=43, extra={"cwd2": "x"}
            )
        ),
        an_entry(SessionRenamed(title="Login"), session="s1"),
        an_entry(SessionShared(slug="abc"), session="s1"),
        an_entry(SessionUnshared(), session="s1"),
        an_entry(
            a_message_synced(
                "m1", session="s2", text_content="Hello\x00 ```py\nx\n```"
            ),
            user=BOB,
        ),
        an_entry(a_message_synced("m1", session="s3", created_at=NOON - 5000)),
        an_entry(
            a_message_synced(
                "m1", session="s3", created_at=NOON - 9000, text_content=None
            )
        ),
        an_entry(SessionDeleted(), session="s3"),
        an_entry(a_message_synced("m9", session="s3")),
        an_entry(ApiKeyUsed(key_id=KEY), time=NOON + 5000),
        an_entry(ApiKeyRevoked(key_id=KEY), time=NOON + 6000),
        an_entry(UserRegistered(name="carol"), user=CAROL),
        an_entry(a_message_synced("m1", session="s9"), user=CAROL),
        *erased(CAROL),
        an_entry(a_message_synced("m2", session="s9"), user=CAROL),
    ]


def erased(user: UUID) -> list[Entry]:
    """The end of a user, in every lane."""
    return [
        msgspec.structs.replace(
            an_entry(UserErased(), user=user), session=subjects.lane_session(user, lane)
        )
        for lane in range(subjects.PARTITIONS)
    ]
