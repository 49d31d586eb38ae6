"""What commands print: aligned columns for people, JSON for programs."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def line(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def as_json(value: Any) -> None:
    line(msgspec.json.encode(value).decode())


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under titles, each column as wide as it must be."""
    cells = [list(titles), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        line("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


def moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return time.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + "Z"


def size(count: int) -> str:
    """Write bytes for a person."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024:  # noqa: PLR2004  # that is what a kilobyte is
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"
