"""The admin step and the server's configuration, on the bundled server."""

import asyncio
import http.client
import random
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig, SubjectTransform

from deploy.local.ports import free_port
from deploy.nats.config import MAX_PAYLOAD, render
from deploy.nats.stream import ForeignStream, ensure_stream
from shared import subjects


class Server(msgspec.Struct):
    url: str
    monitor: int


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    url, monitor = f'nats://a"token@127.0.0.1:{free_port()}', free_port()
    config = tmp_path / "nats.conf"
    config.write_text(render(url, folder=tmp_path, monitor_port=monitor))
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    child = await asyncio.create_subprocess_exec(
        binary, "-c", config, stderr=subprocess.DEVNULL
    )
    yield Server(url=url, monitor=monitor)
    child.terminate()
    await child.wait()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    client = await nats.connect(server.url, reconnect_time_wait=0.05)
    yield client
    await client.close()


async def test_first_time(server: Server):
    """The first run creates the stream."""
    assert await ensure_stream(server.url) == "stream EVENTS created with 16 partitions"


async def test_again(server: Server):
    """Another run verifies the stream that is there."""
    await ensure_stream(server.url)

    assert await ensure_stream(server.url) == "stream EVENTS verified"


async def test_foreign(server: Server, client: Client):
    """A stream with another number of partitions is refused."""
    eight = subjects.TRANSFORM.replace("(16,", "(8,")
    foreign = StreamConfig(
        name=subjects.STREAM,
        subjects=[subjects.PUBLISHED],
        subject_transform=SubjectTransform(src=subjects.PUBLISHED, dest=eight),
    )
    await client.jetstream().add_stream(foreign)

    with pytest.raises(ForeignStream, match=r"subject_transform is .*partition\(8,2,3"):
        await ensure_stream(server.url)
    found = (await client.jetstream().stream_info(subjects.STREAM)).config
    assert found.subject_transform == foreign.subject_transform


async def test_partitions(server: Server, client: Client):
    """The server stores an event in the partition we compute for it."""
    await ensure_stream(server.url)
    js, dice = client.jetstream(), random.Random(7)
    for number in range(300):
        user = UUID(int=dice.getrandbits(128))
        session = UUID(int=dice.getrandbits(128)) if number % 3 else None
        ack = await js.publish(subjects.event("SessionSynced", user, session), b"{}")
        stored = await js.get_msg(subjects.STREAM, ack.seq, direct=True)

        lane = subjects.partition(user, session)
        expected = subjects.stored("SessionSynced", user, session, partition=lane)
        if session is None:
            expected = expected.removesuffix("*") + subjects.NONE
        assert stored.subject == expected


async def test_durable(server: Server, client: Client):
    """The server flushes every write to the disk before it acknowledges it."""
    await client.flush()
    facts = await asyncio.to_thread(_varz, server.monitor)

    assert facts["jetstream"]["config"]["sync_always"] is True
    assert facts["feature_flags"]["js_ack_fc_v2"] is False


async def test_limits(client: Client):
    """A message may have 8 MB."""
    assert client.max_payload == MAX_PAYLOAD


async def test_closed(server: Server, client: Client):
    """Nobody gets in without the token."""
    assert client.is_connected
    stranger, intruder = server.url.replace('a"token', "another"), Client()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await intruder.connect(stranger, allow_reconnect=False)
    await intruder.close()


def _varz(port: int) -> dict[str, Any]:
    monitor = http.client.HTTPConnection("127.0.0.1", port)
    monitor.request("GET", "/varz")
    facts = msgspec.json.decode(monitor.getresponse().read())
    monitor.close()
    return facts
