"""Query parameters: what is understood, and what is said of the rest."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.parameters import Parameters
from shared.errors import Invalid
from tests.factories import NOON


def given(**query: str) -> Parameters:
    request: Any = SimpleNamespace(query_params=query)
    return Parameters(request)


@pytest.mark.parametrize(
    "value", ["abc", "0", "201", "-1", "1.5", "1e2", "٣", "9" * 500, "0x10"]
)
def test_limit(value: str) -> None:
    """
    A limit that is none is refused with a sentence.
    """
    with pytest.raises(Invalid, match="limit must be a whole number from 1 to 200"):
        given(limit=value).whole("limit", 50, low=1, high=200)


@pytest.mark.parametrize(
    ("value", "is_end", "moment"),
    [
        (str(NOON), False, NOON),
        ("2026-02-02", False, 1_769_990_400_000),
        ("2026-02-02", True, 1_769_990_400_000 + 86_400_000),
        ("2026-02-02T03:40:00+01:00", True, NOON),
        ("2026-02-02T02:40:00Z", False, NOON),
        ("2026-02-02T02:40:00 00:00", False, NOON),
    ],
)
def test_moments(value: str, moment: int, *, is_end: bool) -> None:
    """
    Times are milliseconds or ISO 8601; a bare date as an end includes its day.
    """
    assert given(until=value).moment("until", is_end=is_end) == moment


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "9" * 30])
def test_no_moment(value: str) -> None:
    """
    A time that is none is refused with a sentence.
    """
    with pytest.raises(Invalid, match="since must be milliseconds"):
        given(since=value).moment("since")


def test_nul() -> None:
    """
    What no store can hold is refused before it gets there.
    """
    with pytest.raises(Invalid, match="NUL"):
        given(source="a\x00b").text("source")


def test_flag() -> None:
    """
    A flag that is neither is refused with a sentence.
    """
    with pytest.raises(Invalid, match="public must be true or false"):
        given(public="maybe").flag("public")
