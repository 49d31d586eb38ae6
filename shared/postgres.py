"""Connections to Postgres: a pool that looks at one schema, JSON through msgspec.

Statements name tables without a schema. Which copy of a projection they meet is
decided by the connection's search path, so a rebuilt copy can take the live one's
place without a word of SQL changing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from shared.errors import Unavailable


Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
"""What psycopg raises when the server is away, full or shutting down."""

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)


def connection_settings(schema: str) -> dict[str, Any]:
    """Say how every connection of a service is made."""
    return {
        "autocommit": True,
        "prepare_threshold": 2,
        "connect_timeout": 5,
        "options": f"-c search_path={schema} -c jit=off",
        "application_name": f"opensync-{schema}",
    }


def open_pool(url: str, *, schema: str, size: int = 6) -> Pool:
    """Build a pool; it opens when entered and outlives restarts of the server."""
    return AsyncConnectionPool(
        url,
        kwargs=connection_settings(schema),
        min_size=1,
        max_size=size,
        timeout=4,
        reconnect_timeout=5,
        open=False,
        # a restarted server has left us dead connections: a query must not meet one
        check=AsyncConnectionPool.check_connection,
    )


async def connect(url: str, *, schema: str) -> Connection:
    """Open one connection, for a worker that keeps it."""
    return await AsyncConnection.connect(url, **connection_settings(schema))


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection for queries; Unavailable when the server or its tables are away."""
    try:
        async with pool.connection() as connection:
            yield connection
    except (*AWAY, psycopg.errors.UndefinedTable) as error:
        raise Unavailable("The database is away; try again shortly.") from error
