"""Bulk writes: many rows in one statement, each column a binary array.

One `INSERT … SELECT FROM unnest(…)` carries a whole batch. Text is written as
Postgres can hold it: NUL, which it cannot, becomes U+FFFD.
"""

from collections.abc import Sequence
from typing import Any, LiteralString

from shared.postgres import Connection


class Table:
    """A projection's table: its columns with their types, and its key."""

    def __init__(
        self,
        name: LiteralString,
        columns: dict[LiteralString, LiteralString],
        *,
        key: tuple[LiteralString, ...],
        keep: tuple[LiteralString, ...] = (),
    ) -> None:
        """`keep` names columns whose stored value stays when the new one is null.

        JSON objects among them are merged key by key.
        """
        self.name = name
        self.columns = columns
        self.key = key
        self._upsert = _upsert(name, columns, key, keep).encode()
        self._select = _select(name, columns, key).encode()
        self._delete = _delete(name, columns, key).encode()

    async def upsert(self, db: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert or replace rows; no two of them may have the same key."""
        if rows:
            await db.execute(
                self._upsert, [list(column) for column in zip(*rows, strict=True)]
            )

    async def select(
        self, db: Connection, keys: Sequence[Sequence[Any]]
    ) -> list[tuple[Any, ...]]:
        """Read the rows with these keys, all columns, in no order."""
        if not keys:
            return []
        parameters = [list(column) for column in zip(*keys, strict=True)]
        return await (await db.execute(self._select, parameters)).fetchall()

    async def delete(self, db: Connection, keys: Sequence[Sequence[Any]]) -> None:
        """Remove all rows whose key begins with one of these."""
        if not keys:
            return
        width = len(keys[0])
        statement = (
            self._delete
            if width == len(self.key)
            else _delete(self.name, self.columns, self.key[:width]).encode()
        )
        await db.execute(
            statement, [list(column) for column in zip(*keys, strict=True)]
        )


def clean(text: str | None) -> str | None:
    """Replace what Postgres cannot store."""
    return text.replace("\x00", "\ufffd") if text and "\x00" in text else text


def clean_json(value: Any) -> Any:
    """Replace NUL in every string of a JSON value."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): clean_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean_json(inner) for inner in value]
    return value


def _array(type_: LiteralString) -> LiteralString:
    """JSON travels as text, arrays as their own literal; both are cast on arrival."""
    return "%b::text[]" if type_ in _AS_TEXT else "%b::" + type_ + "[]"


_AS_TEXT = {"jsonb"}


def _taken(column: LiteralString, type_: LiteralString) -> LiteralString:
    return column + "::jsonb" if type_ in _AS_TEXT else column


def _upsert(
    name: LiteralString,
    columns: dict[LiteralString, LiteralString],
    key: tuple[LiteralString, ...],
    keep: tuple[LiteralString, ...],
) -> LiteralString:
    names = ", ".join(columns)
    values = ", ".join(_taken(column, type_) for column, type_ in columns.items())
    arrays = ", ".join(_array(type_) for type_ in columns.values())
    changes = ", ".join(
        _kept(column, columns[column])
        if column in keep
        else column + " = excluded." + column
        for column in columns
        if column not in key
    )
    return (
        "INSERT INTO "
        + name
        + " AS t ("
        + names
        + ") SELECT "
        + values
        + " FROM unnest("
        + arrays
        + ") AS given ("
        + names
        + ")"
        + " ON CONFLICT ("
        + ", ".join(key)
        + ") DO UPDATE SET "
        + changes
    )


def _kept(column: LiteralString, type_: LiteralString) -> LiteralString:
    new, old = "excluded." + column, "t." + column
    merged = old + " || " + new + ", " if type_ in _AS_TEXT else ""
    return column + " = coalesce(" + merged + new + ", " + old + ")"


def _matching(
    columns: dict[LiteralString, LiteralString], key: tuple[LiteralString, ...]
) -> LiteralString:
    arrays = ", ".join(_array(columns[column]) for column in key)
    return "unnest(" + arrays + ") AS wanted (" + ", ".join(key) + ")"


def _select(
    name: LiteralString,
    columns: dict[LiteralString, LiteralString],
    key: tuple[LiteralString, ...],
) -> LiteralString:
    names = ", ".join("t." + column for column in columns)
    return (
        "SELECT "
        + names
        + " FROM "
        + name
        + " t JOIN "
        + _matching(columns, key)
        + " USING ("
        + ", ".join(key)
        + ")"
    )


def _delete(
    name: LiteralString,
    columns: dict[LiteralString, LiteralString],
    key: tuple[LiteralString, ...],
) -> LiteralString:
    same = " AND ".join("t." + column + " = wanted." + column for column in key)
    return (
        "DELETE FROM " + name + " t USING " + _matching(columns, key) + " WHERE " + same
    )
