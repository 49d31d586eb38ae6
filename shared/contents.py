"""What a copy of a projection holds: hashes that do not depend on order, and differences."""

from collections.abc import Sequence

import msgspec
from psycopg import sql

from shared.postgres import Connection


ENGINE = ("checkpoint", "worker", "dead_letter", "blocked_session")
"""The engine's own tables: how far, by whom, and what failed is not content."""

_TABLES = """
SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> ALL(%s)
ORDER BY tablename
"""
_KEY = """
SELECT a.attname FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indrelid = to_regclass(%s) AND i.indisprimary
ORDER BY array_position(i.indkey::int2[], a.attnum)
"""


class Content(msgspec.Struct, frozen=True):
    """How many rows a table has, and the sum of their hashes over all columns."""

    rows: int
    hash: str


class Difference(msgspec.Struct, frozen=True):
    """One row that two copies do not agree on; `columns` is empty if one lacks it."""

    table: str
    key: str
    columns: list[str]
    missing_in: str | None = None


async def contents(db: Connection, schema: str) -> dict[str, Content]:
    """Hash every table of a copy; equal contents give equal hashes."""
    tables = await (await db.execute(_TABLES, (schema, list(ENGINE)))).fetchall()
    return {table: await _content(db, schema, table) for (table,) in tables}


async def _content(db: Connection, schema: str, table: str) -> Content:
    statement = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {} t"
    ).format(sql.Identifier(schema, table))
    rows, total = await (await db.execute(statement)).fetchone() or (0, 0)
    return Content(rows=rows, hash=f"{int(total) % 2**64:016x}")


async def differences(
    db: Connection, one: str, other: str, *, limit: int = 20
) -> list[Difference]:
    """Name rows, by table, key and column, on which two copies differ."""
    left, right = await contents(db, one), await contents(db, other)
    found: list[Difference] = []
    for table in sorted(left.keys() | right.keys()):
        if left.get(table) == right.get(table):
            continue
        if table not in left or table not in right:
            lacking = one if table not in left else other
            found.append(Difference(table, "*", [], missing_in=lacking))
            continue
        found += await _rows(db, table, (one, other), limit)
    return found


async def _rows(
    db: Connection, table: str, schemas: tuple[str, str], limit: int
) -> list[Difference]:
    one, other = schemas
    key = [
        row[0] for row in await (await db.execute(_KEY, (f"{one}.{table}",))).fetchall()
    ]
    columns = sql.SQL(", ").join(map(sql.Identifier, key))
    statement = sql.SQL(
        "SELECT ({columns})::text, to_jsonb(a), to_jsonb(b)"
        " FROM {one} a FULL JOIN {other} b USING ({columns})"
        " WHERE a IS DISTINCT FROM b ORDER BY {columns} LIMIT {limit}"
    ).format(
        columns=columns,
        one=sql.Identifier(one, table),
        other=sql.Identifier(other, table),
        limit=limit,
    )
    rows = await (await db.execute(statement)).fetchall()
    return [_difference(table, row[0], row[1:], schemas) for row in rows]


def _difference(
    table: str,
    key: str,
    versions: Sequence[dict[str, object] | None],
    schemas: tuple[str, str],
) -> Difference:
    left, right = versions
    if left is None or right is None:
        return Difference(table, key, [], missing_in=schemas[right is None])
    return Difference(table, key, [n for n in left if left[n] != right.get(n)])
