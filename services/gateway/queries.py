"""The questions the gateway itself answers: users and keys."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import NotFound, Unavailable
from shared.postgres import Pool, reading
from shared.progress import passed
from shared.requests import (
    GetUser,
    KeyList,
    KeyView,
    ListKeys,
    ListUsers,
    UserList,
    UserView,
)


PATIENCE_S = 5.0

_KEYS = """
SELECT id::text, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
FROM api_key WHERE user_id = %s ORDER BY created_at, seq
"""
_USERS = "SELECT user_id::text, name, email, created_at FROM account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Answers from the projection's tables."""

    pool: Pool

    async def list_keys(self, question: ListKeys) -> KeyList:
        await passed(self.pool, question.after)
        rows = await self._rows(_KEYS, (question.user,))
        return KeyList(
            keys=[
                KeyView(
                    id=row[0],
                    name=row[1],
                    prefix=row[2],
                    scopes=row[3],
                    created_at=row[4],
                    expires_at=row[5],
                    last_used_at=row[6],
                    revoked_at=row[7],
                )
                for row in rows
            ]
        )

    async def list_users(self, question: ListUsers) -> UserList:
        await passed(self.pool, question.after)
        return UserList(
            users=[_user(row) for row in await self._rows(f"{_USERS} ORDER BY seq")]
        )

    async def get_user(self, question: GetUser) -> UserView:
        await passed(self.pool, question.after)
        rows = await self._rows(f"{_USERS} WHERE user_id = %s", (question.user,))
        if not rows:
            raise NotFound(f"There is no user {str(question.user)!r}.")
        return _user(rows[0])

    async def _rows(
        self, statement: str, values: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        try:
            async with asyncio.timeout(PATIENCE_S), reading(self.pool) as db:
                return await (await db.execute(statement.encode(), values)).fetchall()
        except TimeoutError as error:
            raise Unavailable("The database is away; try again shortly.") from error


def _user(row: tuple[Any, ...]) -> UserView:
    return UserView(id=row[0], name=row[1], email=row[2], created_at=row[3])
