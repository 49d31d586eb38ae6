"""Query parameters: read leniently, refused with a sentence that names them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast
from uuid import UUID

from services.gateway.gateway import AnyRequest, Gateway
from shared import subjects
from shared.errors import Invalid


MAX_SEQ = 2**63 - 1
LONGEST = 4096
DATE = len("2026-01-31")
WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

T = TypeVar("T", bound=str)


class Parameters:
    """What stands behind the question mark; empty values count as absent."""

    def __init__(self, request: AnyRequest) -> None:
        self._given = request.query_params

    def text(self, *names: str) -> str | None:
        """Return the first of these names that was given."""
        for name in names:
            value = self._given.get(name)
            if value:
                return clean(value, name)
        return None

    def needed(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise Invalid(f"Missing query parameter {name!r}")
        return value

    def whole(
        self, name: str, default: int, *, low: int = 0, high: int = MAX_SEQ
    ) -> int:
        value = self.text(name)
        if value is None:
            return default
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) < len(str(MAX_SEQ)):
            number = int(value)
            if low <= number <= high:
                return number
        bounds = f"from {low} to {high}" if high < MAX_SEQ else f"of at least {low}"
        raise Invalid(f"{name} must be a whole number {bounds}, not {value[:40]!r}.")

    def choice(self, name: str, options: Sequence[T], default: T) -> T:
        value = self.text(name)
        if value is None:
            return default
        if value not in options:
            raise Invalid(
                f"{name} must be one of {', '.join(options)}, not {value[:40]!r}."
            )
        return cast("T", value)

    def flag(self, name: str) -> bool | None:
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in WORDS:
            raise Invalid(f"{name} must be true or false, not {value[:40]!r}.")
        return WORDS[value.lower()]

    def moment(self, *names: str, is_end: bool = False) -> int | None:
        """Read milliseconds or ISO 8601; a bare date as an end includes its day."""
        value = self.text(*names)
        if value is None:
            return None
        try:
            return _milliseconds(value, is_end=is_end)
        except (ValueError, OverflowError):
            raise Invalid(
                f"{names[0]} must be milliseconds since 1970 or an ISO 8601 date,"
                f" not {value[:40]!r}."
            ) from None

    async def after(self, gateway: Gateway, user: UUID | None = None) -> dict[int, int]:
        """Say what a service must have seen before it answers.

        It is what this user has just written here, and `?after=<seq>`, as a write said.
        """
        after = gateway.recent.after(user) if user else {}
        seq = self.whole("after", 0)
        stored = await gateway.log.at(seq) if seq else None
        if stored:
            lane = subjects.partition_of(stored.subject)
            after[lane] = max(seq, after.get(lane, 0))
        return after


def clean(value: str, name: str) -> str:
    """Refuse what no store can hold."""
    if "\x00" in value or len(value) > LONGEST:
        raise Invalid(f"{name} is too long or contains a NUL character.")
    return value


def _milliseconds(value: str, *, is_end: bool) -> int:
    if value.isascii() and value.isdigit():
        number = int(value)
        if number > MAX_SEQ:
            raise ValueError(value)
        return number
    time = datetime.fromisoformat(value.replace(" ", "+"))
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if is_end and len(value) == DATE:
        time += timedelta(days=1)
    return int(time.timestamp() * 1000)
