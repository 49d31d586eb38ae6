"""What a projection keeps of a user or a session, whatever tables it has.

Every table that keeps something of someone says so by a column `user_id`; a session's
rows are found by `session_id`, in the table `session` by `id`.
"""

from uuid import UUID

from psycopg import sql

from shared.postgres import Connection


NOT_HELD = ("checkpoint", "worker", "tombstone", "user_tombstone")
"""The engine's own, and the mere fact that something was erased."""

_TABLES = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = %s AND table_name <> ALL(%s)
GROUP BY table_name ORDER BY table_name
"""


async def holdings(
    db: Connection, schema: str, *, user: UUID, session: UUID | None = None
) -> dict[str, int]:
    """Count the rows of every table of a schema that belong to a user or a session."""
    tables = await (await db.execute(_TABLES, (schema, list(NOT_HELD)))).fetchall()
    counted = {}
    for table, columns in tables:
        key = _session_column(table, columns)
        if session and not key:
            continue
        statement = sql.SQL("SELECT count(*) FROM {} WHERE user_id = %s").format(
            sql.Identifier(table)
        )
        if session and key:
            statement += sql.SQL(" AND {} = %s").format(sql.Identifier(key))
        found = await db.execute(statement, [user, session] if session else [user])
        row = await found.fetchone()
        counted[f"{schema}.{table}"] = int(row[0]) if row else 0
    return counted


def _session_column(table: str, columns: list[str]) -> str | None:
    if "session_id" in columns:
        return "session_id"
    return "id" if table == "session" else None
