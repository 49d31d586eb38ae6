"""What each user has just written through this process, so that their reads see it."""

from collections.abc import Callable
from uuid import UUID

from shared import subjects


KEEP_S = 2.0
"""A projection is milliseconds behind; who is later than this waits for nothing."""
MOST_USERS = 10_000


class Recent:
    """Remembers for two seconds, per user and lane, the newest write."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._writes: dict[UUID, dict[int, int]] = {}
        self._until: dict[UUID, float] = {}

    def note(self, user: UUID, session: UUID | None, seq: int) -> None:
        self._fresh(user)[subjects.partition(user, session)] = seq
        self._until[user] = self._clock() + KEEP_S

    def after(self, user: UUID) -> dict[int, int]:
        """Say what a read of this user should wait for."""
        return dict(self._fresh(user))

    def _fresh(self, user: UUID) -> dict[int, int]:
        if self._until.get(user, 0.0) < self._clock():
            self._writes.pop(user, None)
            self._until.pop(user, None)
            if len(self._writes) >= MOST_USERS:
                self._writes.clear()
                self._until.clear()
        return self._writes.setdefault(user, {})
