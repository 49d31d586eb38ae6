"""Every projection there is, and what each must hold of the log: the one list.

Replay, verification, the tests and the bench go through it, so that a new projection
is rebuilt, verified and tested by standing here.
"""

from dataclasses import dataclass
from uuid import UUID

from services.gateway.projection import KEYS
from services.ingest.message import message_key
from services.ingest.projection import PROJECTION as SESSIONS
from shared.errors import NotFound
from shared.events import (
    ApiKeyIssued,
    Event,
    MessageSynced,
    Recorded,
    SessionSynced,
    UserRegistered,
)
from shared.projection import Projection
from shared.verify import Census


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A projection, and the tables whose rows can be told from the log alone."""

    projection: Projection
    censuses: tuple[Census, ...]


def _session(event: Recorded[Event]) -> tuple[UUID, ...] | None:
    if isinstance(event.event, SessionSynced | MessageSynced) and event.session:
        return event.user, event.session
    return None


def _message(event: Recorded[Event]) -> tuple[UUID, ...] | None:
    if isinstance(event.event, MessageSynced):
        return message_key(event)  # type: ignore[arg-type]  # isinstance narrows the event, not its record
    return None


def _account(event: Recorded[Event]) -> tuple[UUID, ...] | None:
    return (event.user,) if isinstance(event.event, UserRegistered) else None


def _api_key(event: Recorded[Event]) -> tuple[UUID, ...] | None:
    return (event.event.key_id,) if isinstance(event.event, ApiKeyIssued) else None


KNOWN = {
    known.projection.name: known
    for known in (
        Known(
            projection=SESSIONS,
            censuses=(
                Census(table="session", key=("user_id", "id"), of=_session),
                Census(
                    table="message", key=("user_id", "session_id", "id"), of=_message
                ),
            ),
        ),
        Known(
            projection=KEYS,
            censuses=(
                Census(table="account", key=("user_id",), of=_account),
                Census(table="api_key", key=("id",), of=_api_key),
            ),
        ),
    )
}
PROJECTIONS: tuple[Projection, ...] = tuple(k.projection for k in KNOWN.values())


def projection_called(name: str) -> Projection:
    """Find a projection by its name."""
    if name not in KNOWN:
        raise NotFound(
            f"There is no projection {name!r}; there are {', '.join(sorted(KNOWN))}."
        )
    return KNOWN[name].projection
