"""What a user has just written is what their reads wait for."""

from services.gateway.recent import KEEP_S, Recent
from shared import ids, subjects
from tests.factories import ADA, BOB


def test_own_writes_for_a_moment() -> None:
    """
    The newest write per lane is remembered for its user alone, and not for long.
    """
    now = [0.0]
    recent = Recent(clock=lambda: now[0])
    session = ids.session_id(ADA, "s1")
    recent.note(ADA, session, 7)
    recent.note(ADA, session, 9)
    seen = recent.after(ADA), recent.after(BOB)
    now[0] += KEEP_S + 0.1

    assert ({subjects.partition(ADA, session): 9}, {}) == seen
    assert {} == recent.after(ADA)
