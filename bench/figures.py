"""Figures: one JSON line each, with the target it is held against."""

import json
from collections.abc import Sequence
from typing import Any


AT_LEAST, AT_MOST = "at least", "at most"


def say(
    bench: str,
    value: float,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    **more: Any,
) -> None:
    """Print a figure, and whether it meets its target."""
    line: dict[str, Any] = {"bench": bench, "value": rounded(value), "unit": unit}
    if at_least is not None:
        line |= {"target": f"{AT_LEAST} {at_least:g}", "met": value >= at_least}
    if at_most is not None:
        line |= {"target": f"{AT_MOST} {at_most:g}", "met": value <= at_most}
    line |= {name: _short(given) for name, given in more.items() if given is not None}
    print(json.dumps(line), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rounded(value: float) -> float:
    return round(value) if abs(value) >= 1000 else round(value, 3)


def _short(value: Any) -> Any:
    return rounded(value) if isinstance(value, float) else value
