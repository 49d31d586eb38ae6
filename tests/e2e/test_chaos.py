"""The crash suite in short: the faults that tell most, servers away for seconds only.

`make chaos` runs them all at length; docs/operations.md has what came of it.
"""

import os
from collections.abc import AsyncIterator
from random import Random

import pytest

from bench.chaos.__main__ import AWAY_IN_SHORT_S, plan
from bench.chaos.trial import HELD, SKIPPED, tried
from bench.chaos.world import World, world


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]

FAULTS = plan(rounds=1)
TOLD = ("kill -9", "NATS absent", "clients disconnect")


@pytest.fixture(scope="module")
async def breakable() -> AsyncIterator[World]:
    async with world(os.environ) as its:
        yield its


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith(TOLD)])
async def test_fault(breakable: World, name: str):
    """Nothing acknowledged is lost or doubled, and projections equal their replay."""
    await breakable.settled()
    outcome = await tried(
        name, FAULTS[name], breakable, dice=Random(1), away_s=AWAY_IN_SHORT_S
    )

    if outcome.result == SKIPPED:
        pytest.skip("; ".join(outcome.notes))
    assert outcome.result == HELD, outcome.notes
