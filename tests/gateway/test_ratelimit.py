"""How often a key may knock."""

from uuid import uuid4

import pytest

from services.gateway.ratelimit import OverRate, RateLimit
from tests.gateway.conftest import Clock


KEY = uuid4()


class TestRateLimit:
    def test_burst(self) -> None:
        """
        Twice the rate may come at once; the next is told how long to wait.
        """
        limit = RateLimit(10, clock=Clock())
        for _ in range(20):
            limit.take(KEY)

        with pytest.raises(OverRate) as refused:
            limit.take(KEY)
        assert refused.value.retry_after == 1

    def test_refill(self) -> None:
        """
        After a second, a second's worth may come again.
        """
        clock = Clock()
        limit = RateLimit(10, clock=clock)
        for _ in range(20):
            limit.take(KEY)
        clock.now += 1

        for _ in range(10):
            limit.take(KEY)

    def test_others(self) -> None:
        """
        One key's pace is no other key's concern.
        """
        limit = RateLimit(1, clock=Clock())
        for _ in range(2):
            limit.take(KEY)

        limit.take(uuid4())
