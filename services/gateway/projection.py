"""The read model of users and keys: what a person sees of them on a screen."""

from collections.abc import Sequence

from shared.events import (
    ApiKeyIssued,
    ApiKeyRevoked,
    ApiKeyUsed,
    Event,
    Recorded,
    UserErased,
    UserRegistered,
)
from shared.postgres import Connection
from shared.projection import Projection


TABLES = """
CREATE TABLE IF NOT EXISTS account (
  user_id uuid PRIMARY KEY,
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
CREATE TABLE IF NOT EXISTS user_tombstone (
  user_id uuid PRIMARY KEY,
  seq bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS api_key_user ON api_key (user_id, created_at);
"""

_REGISTERED = """
INSERT INTO account (user_id, name, email, created_at, seq)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (user_id) DO NOTHING
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


_ERASED = (
    "DELETE FROM api_key WHERE user_id = %(user)s",
    "DELETE FROM account WHERE user_id = %(user)s",
    """
    INSERT INTO user_tombstone AS t (user_id, seq) VALUES (%(user)s, %(seq)s)
    ON CONFLICT (user_id) DO UPDATE SET seq = greatest(t.seq, excluded.seq)
    """,
)
_GONE = "SELECT user_id FROM user_tombstone WHERE user_id = ANY(%s)"


async def apply(db: Connection, batch: Sequence[Recorded[Event]]) -> None:
    """Registrations and keys first, then what happened to the keys; erasure last."""
    ends = sorted((f.seq, f.user) for f in batch if isinstance(f.event, UserErased))
    erased = {user: seq for seq, user in ends}
    users = list({fact.user for fact in batch})
    gone = {row[0] async for row in await db.execute(_GONE, (users,))} | erased.keys()
    used: dict[object, tuple[object, ...]] = {}
    revoked: dict[object, tuple[object, ...]] = {}
    for fact in (fact for fact in batch if fact.user not in gone):
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
    for user, seq in erased.items():
        for statement in _ERASED:
            await db.execute(statement.encode(), {"user": user, "seq": seq})


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
    handles=(UserRegistered, ApiKeyIssued, ApiKeyRevoked, ApiKeyUsed, UserErased),
    apply=apply,
    is_rare=True,
)
