"""How often a key may knock: a token bucket each, in memory."""

import math
from collections.abc import Callable
from uuid import UUID

from shared.errors import TooManyRequests


MOST_BUCKETS = 100_000


class RateLimit:
    """Allows `rate` requests a second on average, and twice as many at once."""

    def __init__(self, rate: float, *, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = rate * 2
        self._clock = clock
        self._buckets: dict[UUID, tuple[float, float]] = {}

    def take(self, key: UUID) -> None:
        """Count one request; TooManyRequests, with the wait in seconds, if over."""
        now = self._clock()
        tokens, since = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        if tokens < 1:
            raise OverRate(self._rate, wait=(1 - tokens) / self._rate)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.clear()
        self._buckets[key] = (tokens - 1, now)


class OverRate(TooManyRequests):
    """Says how many whole seconds to wait."""

    def __init__(self, rate: float, *, wait: float) -> None:
        super().__init__(
            f"This key is over its limit of {rate:g} requests a second; slow down."
        )
        self.retry_after = max(1, math.ceil(wait))
