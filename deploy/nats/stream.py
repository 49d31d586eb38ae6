"""The stream EVENTS: made once, verified at every start, never deleted from here."""

from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import NoServersError
from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from deploy.nats.config import MAX_PAYLOAD
from shared import subjects
from shared.errors import Unavailable


DUPLICATE_WINDOW_S = 5 * 60
ATTEMPTS = 30


class ForeignStream(RuntimeError):
    """The stream exists, and it is not the log we would have made."""


WANTED = StreamConfig(
    name=subjects.STREAM,
    description="OpenSync: every fact, in order",
    subjects=[subjects.PUBLISHED],
    subject_transform=SubjectTransform(src=subjects.PUBLISHED, dest=subjects.TRANSFORM),
    storage=StorageType.FILE,
    retention=RetentionPolicy.LIMITS,
    discard=DiscardPolicy.NEW,
    max_msg_size=MAX_PAYLOAD,
    duplicate_window=DUPLICATE_WINDOW_S,
    allow_direct=True,
    allow_atomic=True,
    deny_delete=False,
    deny_purge=False,
)

ESSENTIAL: dict[str, Any] = {
    "subjects": WANTED.subjects,
    "subject_transform": WANTED.subject_transform,
    "storage": WANTED.storage,
    "retention": WANTED.retention,
    "discard": WANTED.discard,
    "allow_direct": True,
    "allow_atomic": True,
    "deny_delete": False,
    "deny_purge": False,
    "no_ack": False,
    "persist_mode": None,
    "max_age": 0,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "mirror": None,
    "sources": None,
}
"""What must hold of a stream we find; replicas, sizes, windows are the operator's."""


async def ensure_stream(url: str) -> str:
    """Make the stream or verify the one that is there; say which in a sentence."""
    client = await _connect(url)
    try:
        return await _ensure(client.jetstream())
    finally:
        await client.close()


async def _connect(url: str) -> Client:
    """Wait about half a minute for a server that is still on its way up."""
    failures: list[Exception] = []

    async def note(error: Exception) -> None:
        failures.append(error)

    try:
        return await nats.connect(
            url,
            name="opensync-admin",
            max_reconnect_attempts=ATTEMPTS,
            reconnect_time_wait=1,
            error_cb=note,
        )
    except NoServersError as error:
        address = url.rpartition("@")[2]
        why = failures[-1] if failures else error
        raise Unavailable(f"no NATS server at {address}: {why}") from error


async def _ensure(js: JetStreamContext) -> str:
    try:
        found = (await js.stream_info(subjects.STREAM)).config
    except NotFoundError:
        await js.add_stream(WANTED)
        return f"stream {subjects.STREAM} created with {subjects.PARTITIONS} partitions"
    _verify(found)
    return f"stream {subjects.STREAM} verified"


def _verify(found: StreamConfig) -> None:
    wrong = [
        f"{name} is {is_!r}, not {wanted!r}"
        for name, wanted in ESSENTIAL.items()
        if (is_ := getattr(found, name)) != wanted
    ]
    if wrong:
        raise ForeignStream(
            f"stream {subjects.STREAM!r} exists with another configuration and was"
            f" left alone: {'; '.join(wrong)}"
        )
