"""`opensync copies` and `opensync diff`: the copies of a projection beside the live one."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from deploy.cli.output import AsJson, as_json, line, size, table
from deploy.cli.running import Running, perform
from deploy.projections import projection_called
from shared.contents import Difference, contents, differences
from shared.errors import NotFound
from shared.postgres import Connection, connect
from shared.projection import Projection
from shared.replay import AS_OF, SUFFIX, drop
from shared.replay import copies as schemas


LIVE = "live"
UNFINISHED = "unfinished"
OTHERWISE = 1
BAD_OPERATION = 2

_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind = 'r'
"""


def copies(
    projection: str,
    gone: Annotated[
        str | None, typer.Option("--drop", metavar="SEQ", help="Remove this one.")
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """List the copies of a projection, or drop one that `--as-of` has built."""

    async def work(system: Running) -> None:
        known = projection_called(projection)
        async with await connect(system.postgres_url, schema=known.schema) as db:
            found = await named(db, known)
            if gone is not None:
                await drop(db, _chosen(found, gone, known, but_live=True))
                found.pop(gone)
            rows = [(name, await _size(db, found[name])) for name in found]
        if json:
            as_json([{"copy": name, "bytes": held} for name, held in rows])
        else:
            table(("COPY", "SIZE"), [(name, size(held)) for name, held in rows])

    perform(work, refusal=BAD_OPERATION)


def diff(
    projection: str,
    one: Annotated[str, typer.Argument(help="live, or a sequence.")],
    other: Annotated[str, typer.Argument(help="live, or a sequence.")] = LIVE,
    *,
    limit: Annotated[int, typer.Option(help="Rows shown for a table.", min=1)] = 20,
    json: AsJson = False,
) -> None:
    """Say on which rows two copies of a projection differ; exit 1 if they do."""

    async def work(system: Running) -> None:
        known = projection_called(projection)
        async with await connect(system.postgres_url, schema=known.schema) as db:
            copies_ = await named(db, known)
            pair = [_chosen(copies_, name, known) for name in (one, other)]
            held = [await contents(db, schema) for schema in pair]
            found = await differences(db, pair[0], pair[1], limit=limit)
        if not json:
            rows = [
                (name, *(have[name].rows if name in have else None for have in held))
                for name in sorted(held[0].keys() | held[1].keys())
            ]
            table(("ROWS", one.upper(), other.upper()), rows)
            line()
        shown_differences(found, (one, other), known, schemas=pair, json=json)
        if found:
            sys.exit(OTHERWISE)

    perform(work, refusal=BAD_OPERATION)


def shown_differences(
    found: Sequence[Difference],
    names: tuple[str, str],
    projection: Projection,
    *,
    schemas: Sequence[str] = (),
    json: bool,
) -> None:
    """Print each row that differs: its table, its key, and on which columns."""
    calls = dict(
        zip(
            schemas or (projection.schema, projection.schema + SUFFIX),
            names,
            strict=True,
        )
    )
    rows: list[dict[str, Any]] = [
        {
            "table": each.table,
            "key": each.key,
            "columns": each.columns,
            "missingIn": calls.get(each.missing_in, each.missing_in)
            if each.missing_in
            else None,
        }
        for each in found
    ]
    if json:
        as_json({"projection": projection.name, "differences": rows})
    elif rows:
        titles = ("TABLE", "KEY", "DIFFERS IN")
        table(titles, [(r["table"], r["key"], _told(r)) for r in rows])
    else:
        line("no differences")


def _told(row: dict[str, Any]) -> str:
    if row["missingIn"]:
        return f"missing in {row['missingIn']}"
    return ", ".join(row["columns"])


async def named(db: Connection, projection: Projection) -> dict[str, str]:
    """Say by which name an operator calls each schema."""
    found: dict[str, str] = {}
    for schema in await schemas(db, projection):
        rest = schema.removeprefix(projection.schema)
        if not rest:
            found[LIVE] = schema
        elif rest.startswith(AS_OF):
            found[rest.removeprefix(AS_OF)] = schema
        elif rest == SUFFIX:
            found[UNFINISHED] = schema
    return found


def _chosen(
    found: dict[str, str], name: str, projection: Projection, *, but_live: bool = False
) -> str:
    known = [each for each in found if each.isdigit() or not but_live]
    if name not in known:
        raise NotFound(
            f"{projection.name} has no copy {name!r};"
            f" there {'are ' + ', '.join(known) if known else 'is none'}."
        )
    return found[name]


async def _size(db: Connection, schema: str) -> int:
    row = await (await db.execute(_SIZE, (schema,))).fetchone()
    return int(row[0]) if row else 0
