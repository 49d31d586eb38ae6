"""The rules for users and API keys: from what happened to what happens next. Pure."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

import msgspec

from shared.errors import Conflict, Invalid, NotFound
from shared.events import ApiKeyIssued, ApiKeyRevoked, Event, Recorded, UserRegistered
from shared.requests import IssueApiKey, RegisterUser, RevokeApiKey


PREFIX = "osk_"
KEY_BYTES = 32
SHOWN = 12
"""How much of a key its owner sees later, to tell it from others."""
LONGEST_NAME = 200
SHORTEST_KEY = len(PREFIX) + 32
"""A key that an operator chooses: 192 bits in base64 take 32 characters."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says of one user, each fact with its sequence."""

    registered: Recorded[UserRegistered] | None = None
    is_erased: bool = False
    issued: dict[UUID, Recorded[ApiKeyIssued]] = {}
    revoked: dict[UUID, int] = {}

    def with_hash(self, hash_: str) -> Recorded[ApiKeyIssued] | None:
        found = (key for key in self.issued.values() if key.event.hash == hash_)
        return next(found, None)


def evolve(account: Account, fact: Recorded[Event]) -> Account:
    match fact.event:
        case UserRegistered():
            return msgspec.structs.replace(account, registered=fact)
        case ApiKeyIssued(key_id=key_id):
            issued = {**account.issued, key_id: fact}
            return msgspec.structs.replace(account, issued=issued)
        case ApiKeyRevoked(key_id=key_id):
            revoked = {**account.revoked, key_id: fact.seq}
            return msgspec.structs.replace(account, revoked=revoked)
        case _:
            return account


def remembered(facts: Iterable[Recorded[Event]]) -> Account:
    account = Account()
    for fact in facts:
        account = evolve(account, fact)
    return account


def mint(randomness: bytes) -> str:
    """Write a key: 256 random bits, 43 characters."""
    return PREFIX + urlsafe_b64encode(randomness).rstrip(b"=").decode()


def hashed(key: str) -> str:
    """Identify a key; its own randomness is why a fast hash is enough."""
    return sha256(key.encode()).hexdigest()


def register(command: RegisterUser, account: Account) -> list[UserRegistered]:
    if not command.name.strip() or len(command.name) > LONGEST_NAME:
        raise Invalid(f"A user's name must have 1 to {LONGEST_NAME} characters.")
    if account.is_erased:
        raise Conflict(f"{command.name!r} was erased; a new user needs another name.")
    if account.registered:
        return []
    return [UserRegistered(name=command.name, email=command.email)]


def issue(
    command: IssueApiKey, account: Account, *, key: str, key_id: UUID, now: int
) -> list[ApiKeyIssued]:
    """Issue `key`; one that exists already is left as it is."""
    if account.registered is None:
        raise NotFound(f"There is no user {str(command.user)!r}.")
    known = account.with_hash(hashed(key))
    if known and known.event.key_id in account.revoked:
        raise Conflict("This key was revoked; a revoked key cannot be issued again.")
    if known:
        return []
    _check(command, key, now)
    return [
        ApiKeyIssued(
            key_id=key_id,
            name=command.name.strip(),
            hash=hashed(key),
            prefix=key[:SHOWN],
            scopes=tuple(dict.fromkeys(command.scopes)),
            expires_at=command.expires_at,
        )
    ]


def _check(command: IssueApiKey, key: str, now: int) -> None:
    if not command.name.strip() or len(command.name) > LONGEST_NAME:
        raise Invalid(f"A key's name must have 1 to {LONGEST_NAME} characters.")
    if not command.scopes:
        raise Invalid("A key needs at least one scope.")
    if command.expires_at is not None and command.expires_at <= now:
        raise Invalid("expiresAt must lie in the future.")
    if not key.startswith(PREFIX) or len(key) < SHORTEST_KEY or not key.isascii():
        raise Invalid(
            f"A key must begin with {PREFIX!r}"
            f" and have at least {SHORTEST_KEY} characters."
        )


def revoke(command: RevokeApiKey, account: Account) -> list[ApiKeyRevoked]:
    if command.key_id not in account.issued:
        raise NotFound(f"There is no key {str(command.key_id)!r}.")
    if command.key_id in account.revoked:
        return []
    return [ApiKeyRevoked(key_id=command.key_id)]
