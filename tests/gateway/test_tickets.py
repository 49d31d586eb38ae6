"""Tickets for those who cannot send headers."""

from uuid import uuid4

import pytest

from services.gateway.keyring import Key
from services.gateway.tickets import VALID_S, Tickets
from shared.errors import NotAuthenticated
from tests.factories import ADA
from tests.gateway.conftest import Clock


A_KEY = Key(
    id=uuid4(),
    hash="h",
    user=ADA,
    name="k",
    prefix="osk_",
    scopes=frozenset(),
    expires_at=None,
)


class TestTickets:
    def test_once(self) -> None:
        """
        A ticket admits its key's owner once.
        """
        tickets = Tickets(clock=Clock())
        ticket = tickets.issue(A_KEY)

        assert tickets.redeem(ticket) == A_KEY
        with pytest.raises(NotAuthenticated):
            tickets.redeem(ticket)

    def test_late(self) -> None:
        """
        A ticket expires.
        """
        clock = Clock()
        tickets = Tickets(clock=clock)
        ticket = tickets.issue(A_KEY)
        clock.now += VALID_S + 1

        with pytest.raises(NotAuthenticated):
            tickets.redeem(ticket)
