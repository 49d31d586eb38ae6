"""The read model of users and keys: what a person sees of them on a screen."""

from collections.abc import Sequence

from shared.events import (
    ApiKeyIssued,
    ApiKeyRevoked,
    ApiKeyUsed,
    Event,
    Recorded,
    UserRegistered,
)
from shared.postgres import Connection
from shared.projection import Projection


TABLES = """
CREATE TABLE IF NOT EXISTS account (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  email text,
  created_at bigint NOT NULL,
  seq bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS api_key (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  name text NOT NULL,
  prefix text NOT NULL,
  scopes text[] NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint,
  last_used_at bigint,
  revoked_at bigint,
  seq bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS api_key_user ON api_key (user_id, created_at);
"""

_REGISTERED = """
INSERT INTO account (id, name, email, created_at, seq)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
"""
_ISSUED = """
INSERT INTO api_key (id, user_id, name, prefix, scopes, created_at, expires_at, seq)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
"""
_USED = """
UPDATE api_key k SET last_used_at = used.at, seq = used.seq
FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::bigint[])
  AS used (id, user_id, at, seq)
WHERE k.id = used.id AND k.user_id = used.user_id
"""
_REVOKED = """
UPDATE api_key k SET revoked_at = coalesce(k.revoked_at, gone.at), seq = gone.seq
FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::bigint[])
  AS gone (id, user_id, at, seq)
WHERE k.id = gone.id AND k.user_id = gone.user_id
"""


async def apply(db: Connection, batch: Sequence[Recorded[Event]]) -> None:
    """Registrations and keys first, then what happened to the keys."""
    used: dict[object, tuple[object, ...]] = {}
    revoked: dict[object, tuple[object, ...]] = {}
    for fact in batch:
        match fact.event:
            case UserRegistered(name=name, email=email):
                row = (fact.user, name, email, fact.time, fact.seq)
                await db.execute(_REGISTERED, row)
            case ApiKeyIssued() as issued:
                await db.execute(_ISSUED, _key_row(fact, issued))
            case ApiKeyUsed(key_id=key_id):
                used[key_id] = (key_id, fact.user, fact.time, fact.seq)
            case ApiKeyRevoked(key_id=key_id):
                revoked.setdefault(key_id, (key_id, fact.user, fact.time, fact.seq))
    for statement, rows in ((_USED, used), (_REVOKED, revoked)):
        if rows:
            await db.execute(
                statement, [list(column) for column in zip(*rows.values(), strict=True)]
            )


def _key_row(fact: Recorded[Event], issued: ApiKeyIssued) -> tuple[object, ...]:
    return (
        issued.key_id,
        fact.user,
        issued.name,
        issued.prefix,
        list(issued.scopes),
        fact.time,
        issued.expires_at,
        fact.seq,
    )


KEYS = Projection(
    name="gateway-keys",
    schema="gateway",
    tables=TABLES,
    handles=(UserRegistered, ApiKeyIssued, ApiKeyRevoked, ApiKeyUsed),
    apply=apply,
    is_rare=True,
)
