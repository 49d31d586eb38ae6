"""Deterministic identity: who a session or message is follows from what the client said.

A retry gets the same id without a look-up, and two users who send the same
external id never meet, because each id is derived inside its owner's.
"""

from uuid import UUID, uuid5


OPENSYNC = UUID("6f70656e-7379-5e63-8000-6c6f67626f6f")
"""The root of every name-based id; changing it would orphan all stored data."""


def user_id(name: str) -> UUID:
    """Identify a user by a name that is unique in this installation."""
    return uuid5(OPENSYNC, name)


def session_id(user: UUID, external_id: str) -> UUID:
    return uuid5(user, external_id)


def message_id(session: UUID, external_id: str) -> UUID:
    return uuid5(session, external_id)


def session_candidates(user: UUID, given: str) -> list[UUID]:
    """Say which sessions an id in a request may mean: ours first, then the client's.

    Some agents' own ids are UUIDs too, so the form alone does not tell.
    """
    theirs = session_id(user, given)
    try:
        return [UUID(given), theirs]
    except ValueError:
        return [theirs]
