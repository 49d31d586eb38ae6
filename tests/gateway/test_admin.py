"""Dead letters over HTTP: everyone with the scope sees that, only owners see what."""

from typing import Any

import pytest

from services.gateway.gateway import Gateway
from shared import ids
from shared.requests import (
    DeadLetters,
    DeadLetterView,
    ListDeadLetters,
    Retried,
    RetryDeadLetter,
)
from shared.settings import Settings
from tests.gateway.conftest import ADA, BOB, Answering, Http, a_key, speaking


LETTERS = "/api/admin/deadletters"
WORDS = "DataError: cannot store 'a secret of its owner'"


def a_letter(seq: int, *, user: Any = ADA, error: str | None = WORDS) -> DeadLetterView:
    return DeadLetterView(
        projection="ingest-sessions",
        seq=seq,
        type="MessageSynced",
        user=str(user),
        session=str(ids.session_id(user, "s1")),
        since=1_770_000_000_000,
        error=error,
    )


def listed(letters: list[DeadLetterView]) -> Any:
    def answer(asked: ListDeadLetters) -> DeadLetters:
        found = [letter for letter in letters if letter.seq >= asked.from_seq]
        return DeadLetters(letters=found[: asked.limit])

    return answer


@pytest.fixture
async def retried(answering: Answering) -> list[RetryDeadLetter]:
    """Ada's letters 3 and 5, Bob's letter 4; and what was asked of ingest."""
    commands: list[RetryDeadLetter] = []

    def retry(command: RetryDeadLetter) -> Retried:
        commands.append(command)
        return Retried(applied=0, remaining=2, error=WORDS)

    letters = [a_letter(3), a_letter(4, user=BOB), a_letter(5, error=None)]
    await answering({ListDeadLetters: listed(letters), RetryDeadLetter: retry})
    return commands


@pytest.mark.usefixtures("retried")
async def test_list(http: Http) -> None:
    """
    Your own are shown with session and error, another's only as a kind of failure.
    """
    body = (await http.get(LETTERS)).json()
    mine, other, waiting = body["letters"]

    assert (str(ADA), WORDS) == (mine["user"], mine["error"])
    assert {
        "projection": "ingest-sessions",
        "seq": 4,
        "type": "MessageSynced",
        "since": 1_770_000_000_000,
        "error": "DataError",
    } == other
    assert 5 == waiting["seq"] and "error" not in waiting
    assert ["gateway"] == body["away"]


@pytest.mark.usefixtures("retried")
async def test_pages(http: Http) -> None:
    """
    A list can be cut and continued.
    """
    first = (await http.get(LETTERS, params={"limit": 1})).json()["letters"]
    rest = (await http.get(LETTERS, params={"from": 4})).json()["letters"]

    assert [3] == [letter["seq"] for letter in first]
    assert [4, 5] == [letter["seq"] for letter in rest]


async def test_retry(http: Http, retried: list[RetryDeadLetter]) -> None:
    """
    Anyone with the scope may retry; another's error is not told in its own words.
    """
    mine = await http.post(f"{LETTERS}/ingest-sessions/3/retry")
    other = await http.post(f"{LETTERS}/ingest-sessions/4/retry")

    assert [200, 200] == [mine.status_code, other.status_code]
    assert [WORDS, "DataError"] == [mine.json()["error"], other.json()["error"]]
    assert [(3, False), (4, False)] == [(c.seq, c.skip) for c in retried]


async def test_skip(http: Http, retried: list[RetryDeadLetter]) -> None:
    """
    You may leave out what is yours, and nothing of anyone else's.
    """
    mine = await http.post(f"{LETTERS}/ingest-sessions/3/skip")
    other = await http.post(f"{LETTERS}/ingest-sessions/4/skip")

    assert [200, 403] == [mine.status_code, other.status_code]
    assert [(3, True)] == [(c.seq, c.skip) for c in retried]


@pytest.mark.usefixtures("retried")
@pytest.mark.parametrize(
    "path", ["ingest-sessions/9", "ingest-other/3", "nobody/3", "ingest-sessions/x"]
)
async def test_not_there(http: Http, path: str) -> None:
    """
    What has not failed cannot be retried.
    """
    assert 404 == (await http.post(f"{LETTERS}/{path}/retry")).status_code


async def test_scope(gateway: Gateway, settings: Settings) -> None:
    """
    Without the scope `admin` nothing is told.
    """
    key = await a_key(gateway, scopes=("sync", "read", "export"))
    async with speaking(settings, key) as http:
        answer = await http.get(LETTERS)

    assert 403 == answer.status_code
