"""Every name on the wire: the stream, event subjects, partitions, requests and live news.

Only hex ids and our own class names become subject tokens; a client's string never does.
"""

import re
from uuid import UUID, uuid5


STREAM = "EVENTS"
PARTITIONS = 16
"""How many ordered lanes the log has. Fixed for the life of a stream: every session
lives in one lane, and projections divide the lanes among their workers."""

PUBLISHED = "ev.*.*.*"
"""What the gateway and the services publish: `ev.<type>.<user>.<session>`."""
TRANSFORM = (
    f"ev.{{{{partition({PARTITIONS},2,3)}}}}"
    ".{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"
)
"""The stream's subject transform: the lane is a hash of user and session."""

NONE = "-"
_FNV_OFFSET, _FNV_PRIME, _32_BITS = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


def _token(entity: UUID | None) -> str:
    return entity.hex if entity else NONE


def event(type_: str, user: UUID, session: UUID | None) -> str:
    """Where an event of this type is published."""
    return f"ev.{type_}.{user.hex}.{_token(session)}"


def stored(
    type_: str = "*",
    user: UUID | None = None,
    session: UUID | None = None,
    *,
    partition: int | str = "*",
) -> str:
    """Match stored events; what is left out matches anything."""
    return (
        f"ev.{partition}.{type_}.{user.hex if user else '*'}"
        f".{session.hex if session else '*'}"
    )


def stored_of(user: UUID, session: UUID | None) -> str:
    """Match all events of exactly this session, or of the user's own stream."""
    return f"ev.{partition(user, session)}.*.{user.hex}.{_token(session)}"


def stored_event(type_: str, user: UUID, session: UUID | None, *, lane: int) -> str:
    """Where the stream stores an event of this type."""
    return f"ev.{lane}.{type_}.{user.hex}.{_token(session)}"


def lane(partition_: int) -> str:
    """Match all stored events of one partition."""
    return f"ev.{partition_}.>"


def partition(user: UUID, session: UUID | None) -> int:
    """Say in which lane the server stores a session's events.

    The server hashes the two tokens with 32-bit FNV-1a
    (nats-server `subject_transform.go`, `getHashPartition`).
    """
    hashed = _FNV_OFFSET
    for byte in f"{user.hex}{_token(session)}".encode():
        hashed = ((hashed ^ byte) * _FNV_PRIME) & _32_BITS
    return hashed % PARTITIONS


def lane_session(user: UUID, lane: int) -> UUID:
    """Name a session that is none, for what a user's every lane must hear."""
    number = 0
    while partition(user, found := uuid5(user, f"lane {lane} {number}")) != lane:
        number += 1
    return found


def partition_of(subject: str) -> int:
    """Read the lane from a stored subject."""
    return int(subject.split(".", 2)[1])


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def request(kind: str, service: str, name: str) -> str:
    """Where a request is answered: `q.<service>.<question>` or `cmd.<service>.<verb>`."""
    return f"{kind}.{service}.{snake(name)}"


def live(user: UUID) -> str:
    """Where a projection tells what it has just committed for a user."""
    return f"live.{user.hex}"


LIVE_ALL = "live.*"
