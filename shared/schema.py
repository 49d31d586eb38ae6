"""The schema a projection lives in: made if absent, refused if it is another's."""

from hashlib import sha256

from psycopg import sql

from shared import deadletters, lease
from shared.postgres import Connection
from shared.projection import Projection


class LogChanged(Exception):
    """The checkpoints count another log than the one we are connected to."""


class TablesChanged(Exception):
    """The code has other tables than the database."""


async def prepare(db: Connection, projection: Projection, *, stream: str) -> None:
    """Create the projection's schema and tables if absent; refuse another's.

    Raises LogChanged if its checkpoints count another log, TablesChanged if the code
    has other tables than the schema. A schema that is as it should be is left alone:
    even a statement that changes nothing would take locks that readers feel.
    """
    made = _fingerprint(projection)
    if await _comment(db, projection.schema) != made:
        async with db.transaction():
            await db.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s))", (projection.schema,)
            )
            await _create(db, projection, made, stream)
    other = await (
        await db.execute("SELECT stream FROM checkpoint WHERE stream <> %s", (stream,))
    ).fetchone()
    if other:
        raise LogChanged(
            f"{projection.name} was built from the log created {other[0]}, this one "
            f"was created {stream}: restore that log or drop schema {projection.schema}"
        )


async def _create(
    db: Connection, projection: Projection, made: str, stream: str
) -> None:
    found = await _comment(db, projection.schema)
    if found.split()[:1] not in ([], made.split()[:1]):
        raise TablesChanged(
            f"the tables of {projection.name} are from another version of the code:"
            f" run `opensync replay {projection.name}`"
        )
    schema = sql.Identifier(projection.schema)
    await db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    for statements in (
        lease.TABLES,
        deadletters.TABLES,
        projection.tables,
        projection.indexes,
    ):
        await db.execute(statements.encode())
    await lease.create_lanes(db, stream=stream)
    await db.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, made))


async def _comment(db: Connection, schema: str) -> str:
    found = await db.execute(
        "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", (schema,)
    )
    row = await found.fetchone()
    return str(row[0] or "") if row else ""


def _fingerprint(projection: Projection) -> str:
    """Tell the tables and the indexes of a projection from any others."""
    engine = lease.TABLES + deadletters.TABLES
    pieces = (engine + projection.tables, projection.indexes)
    return " ".join(sha256(piece.encode()).hexdigest()[:16] for piece in pieces)


async def refuse_shorter_log(
    db: Connection, projection: Projection, *, head: int
) -> None:
    """Raise LogChanged if the log ends before what has been applied from it.

    A damaged log may lose its end and count on from there: going on would skip events.
    """
    found = await db.execute("SELECT max(seq) FROM checkpoint")
    row = await found.fetchone()
    applied = int(row[0] or 0) if row else 0
    if applied > head:
        raise LogChanged(
            f"{projection.name} has applied {applied} events and the log ends at {head}:"
            " restore the log from a backup, or replay the projection"
        )
