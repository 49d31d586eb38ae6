"""Commands about sessions: load from the log, decide, append with the expected sequence."""

import secrets
import time
from collections.abc import Callable
from uuid import UUID, uuid4

from services.ingest.session import Standing, stand
from shared import ids, subjects
from shared.errors import Invalid, NotFound, Unavailable, WrongExpectedSeq
from shared.events import (
    Event,
    SessionDeleted,
    SessionRenamed,
    SessionShared,
    SessionUnshared,
    record,
)
from shared.log import Entry, Log
from shared.requests import (
    Command,
    Decided,
    DeleteSession,
    RenameSession,
    ShareSession,
    UnshareSession,
)


TITLE_LIMIT = 500
ATTEMPTS = 20
"""A session that is being synced at full speed moves on between load and append."""

SessionCommand = RenameSession | ShareSession | UnshareSession | DeleteSession


def decide(command: Command, standing: Standing, *, slug: str) -> Event | None:
    """Say what follows from a command; None if it has been said already."""
    if standing.is_deleted and isinstance(command, DeleteSession):
        return None
    if standing.is_deleted or not standing.is_there:
        raise NotFound("Session not found")
    match command:
        case RenameSession(title=title):
            wanted = title.strip()
            if not wanted or len(wanted) > TITLE_LIMIT:
                raise Invalid(f"A title has 1 to {TITLE_LIMIT} characters.")
            return None if wanted == standing.title else SessionRenamed(title=wanted)
        case ShareSession():
            return None if standing.slug else SessionShared(slug=slug)
        case UnshareSession():
            return SessionUnshared() if standing.slug else None
        case DeleteSession():
            return SessionDeleted()
    raise Invalid(f"{type(command).__name__} is not about a session.")


class Sessions:
    """Handles every command about a session."""

    def __init__(
        self,
        log: Log,
        *,
        now: Callable[[], float] = time.time,
        new_slug: Callable[[], str] = lambda: secrets.token_urlsafe(12),
    ) -> None:
        self._log = log
        self._now = now
        self._new_slug = new_slug

    async def handle_session(self, command: SessionCommand) -> Decided:
        """Decide, and decide again if the session has moved on meanwhile."""
        for _ in range(ATTEMPTS):
            try:
                return await self._once(command)
            except WrongExpectedSeq:
                continue
        raise Unavailable("The session is being written to; try again shortly.")

    async def _once(self, command: SessionCommand) -> Decided:
        session, standing = await self._load(command.user, command.id)
        event = decide(command, standing, slug=self._new_slug())
        if event is None:
            return _decided(session, standing, standing.seq)
        appended = await self._log.append(
            Entry(
                event=event,
                user=command.user,
                session=session,
                time=int(self._now() * 1000),
                correlation_id=command.correlation_id or uuid4().hex,
            ),
            expected=(subjects.stored_of(command.user, session), standing.seq),
        )
        return _decided(session, stand(standing, event, seq=appended.seq), appended.seq)

    async def _load(self, user: UUID, id_: str) -> tuple[UUID, Standing]:
        """Find the session that an id of ours or of the client's means."""
        for session in ids.session_candidates(user, id_):
            standing = await self._standing(user, session)
            if standing.seq:
                return session, standing
        raise NotFound("Session not found")

    async def _standing(self, user: UUID, session: UUID) -> Standing:
        """Fold the last event of each type: all that any decision needs."""
        standing = Standing()
        for stored in await self._log.newest(subjects.stored_of(user, session)):
            event = record(stored.payload, seq=stored.seq, partition=0)
            if event:
                standing = stand(standing, event.event, seq=stored.seq)
        return standing


def _decided(session: UUID, standing: Standing, seq: int) -> Decided:
    return Decided(id=str(session), seq=seq, slug=standing.slug)
