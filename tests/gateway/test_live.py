"""Who hears of what, and what they hear when they come back."""

from collections.abc import Iterator

import pytest

from services.gateway import live
from services.gateway.live import Hub
from shared.errors import TooManyRequests
from tests.factories import ADA, BOB


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


async def heard(hub: Hub, *, last_id: str | None = None, count: int) -> list[bytes]:
    """What a stream that begins now says first, after its greeting."""
    stream = hub.stream(ADA, last_id=last_id, is_welcome=lambda: True)
    said = [await anext(stream) for _ in range(count + 1)]
    await stream.aclose()  # type: ignore[attr-defined]
    return said[1:]


def id_of(text: bytes) -> str:
    return text.split(b"\n")[0].removeprefix(b"id: ").decode()


class TestHub:
    async def test_missed(self, hub: Hub) -> None:
        """
        Who comes back with an id hears exactly what was announced since.
        """
        hub.announce(ADA, b"one")
        stream = hub.stream(ADA, last_id=None, is_welcome=lambda: True)
        await anext(stream)
        hub.announce(ADA, b"two")
        two = await anext(stream)
        hub.announce(BOB, b"not yours")
        hub.announce(ADA, b"three")

        [three] = await heard(hub, last_id=id_of(two), count=1)
        assert two.split(b"\n")[1:3] == [b"event: changed", b"data: two"]
        assert b"data: three" in three
        await stream.aclose()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("last_id", ["17", "other-3", "", "-"])
    async def test_unknown_id(self, hub: Hub, last_id: str) -> None:
        """
        An id that is not ours means: fetch everything again.
        """
        [text] = await heard(hub, last_id=last_id, count=1)

        assert b"event: refresh" in text

    async def test_too_old(self, hub: Hub) -> None:
        """
        A gap that is no longer remembered means: fetch everything again.
        """
        hub.announce(ADA, b"first")
        stream = hub.stream(ADA, last_id=None, is_welcome=lambda: True)
        await anext(stream)
        hub.announce(ADA, b"second")
        second = id_of(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        for _ in range(live.RING + 1):
            hub.announce(BOB, b"noise")

        [text] = await heard(hub, last_id=second, count=1)
        assert b"event: refresh" in text

    async def test_slow(self, hub: Hub) -> None:
        """
        A client that does not keep up is told to fetch everything again.
        """
        stream = hub.stream(ADA, last_id=None, is_welcome=lambda: True)
        await anext(stream)
        for _ in range(live.QUEUE + 1):
            hub.announce(ADA, b"news")

        assert b"event: refresh" in await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    async def test_unwelcome(self, hub: Hub) -> None:
        """
        A stream ends as soon as its key is no longer good.
        """
        is_good = [True]
        stream = hub.stream(ADA, last_id=None, is_welcome=lambda: is_good[0])
        await anext(stream)
        is_good[0] = False
        hub.announce(ADA, b"news")

        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    async def test_too_many(self, hub: Hub) -> None:
        """
        A user's streams are limited.
        """
        streams = [
            hub.stream(ADA, last_id=None, is_welcome=lambda: True)
            for _ in range(live.STREAMS_PER_USER)
        ]
        for stream in streams:
            await anext(stream)

        with pytest.raises(TooManyRequests):
            hub.stream(ADA, last_id=None, is_welcome=lambda: True)
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]

    async def test_outage(self, hub: Hub) -> None:
        """
        After an outage of the announcements everyone fetches everything again.
        """
        stream = hub.stream(ADA, last_id=None, is_welcome=lambda: True)
        await anext(stream)
        hub.forget()

        assert b"event: refresh" in await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
