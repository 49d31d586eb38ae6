"""Tickets: a browser's event source cannot send headers, and keys stay out of URLs."""

from collections.abc import Callable
from secrets import token_urlsafe

from services.gateway.keyring import Key
from shared.errors import NotAuthenticated


VALID_S = 60.0


class Tickets:
    """Single-use, short-lived, known to this process only."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._valid: dict[str, tuple[Key, float]] = {}

    def issue(self, key: Key) -> str:
        now = self._clock()
        self._valid = {t: v for t, v in self._valid.items() if v[1] > now}
        ticket = token_urlsafe(24)
        self._valid[ticket] = (key, now + VALID_S)
        return ticket

    def redeem(self, ticket: str) -> Key:
        key, until = self._valid.pop(ticket, (None, 0.0))
        if key is None or until < self._clock():
            raise NotAuthenticated("This ticket is used up, expired or unknown.")
        return key
