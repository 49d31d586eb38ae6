"""The measurements, in the order in which they are made, each printing its figures."""

import asyncio
from statistics import median
from time import monotonic
from uuid import UUID

import msgspec

from bench.connection import Connection
from bench.figures import percentile, say
from bench.load import Outcome, Plan, loaded
from bench.machine import elsewhere, memory
from bench.messages import Writer
from bench.pace import Pace, paced
from bench.raw import published
from bench.system import Target


BATCH = 100
BATCH_CONNECTIONS = 4
RATE = 300
LONE = 40
LOOK_EVERY_S = 0.05
READABLE_WITHIN_S = 60.0
MEMORY_MB = 700
WARM_UP_S = 1.0


async def measure_memory(target: Target, when: str) -> None:
    """Weigh every process, and the whole."""
    if target.run is None:
        return
    parts = await asyncio.to_thread(memory, target.run)
    for name, held in parts.items():
        say(f"memory_{when}_{name}", held, "MB")
    limit = MEMORY_MB if when == "idle" else None
    say(f"memory_{when}", sum(parts.values()), "MB", at_most=limit)


async def measure_raw(target: Target, *, seconds: float) -> float | None:
    """Publish straight to the log; None where we do not know the log."""
    if target.run is None:
        return None
    return await published(target.run.nats_url, seconds=seconds)


async def measure_lone(target: Target) -> None:
    """Time messages one by one on an idle system, from the POST until a GET has it."""
    connection, writer = await Connection.to(target.door), Writer(_name("lone"))
    took, acknowledged = [], []
    for _ in range(LONE):
        session, body = writer.message()
        began = monotonic()
        _, answer = await connection.ask(target.door.post("/sync/message", body))
        acknowledged.append((monotonic() - began) * 1000)
        seq = msgspec.json.decode(answer)["seq"]
        path = f"/api/sessions/{session}?after={seq}&limit=1"
        _answered(path, *await connection.ask(target.door.get(path)))
        took.append((monotonic() - began) * 1000)
        await asyncio.sleep(LOOK_EVERY_S)
    connection.close()
    say("lone_acknowledged", median(acknowledged), "ms")
    say("lone_readable", median(took), "ms", worst=max(took), how="POST, GET ?after=")


async def measure_messages(
    target: Target, *, seconds: float, connections: int, raw_s: float
) -> None:
    """Sync single messages, between two measurements of the bare log."""
    before = await measure_raw(target, seconds=raw_s)
    plan = Plan(
        url=target.url,
        key=target.key,
        name=_name("one"),
        connections=connections,
        seconds=seconds,
        warm_up=WARM_UP_S,
    )
    with elsewhere(target.run) as others:
        outcome = await loaded(plan)
    await _all_readable(target)
    after = await measure_raw(target, seconds=raw_s)
    rate, raw = len(outcome.took_ms) / seconds, _mean(before, after)
    say(
        "sync_message",
        rate,
        "req/s",
        at_least=1500,
        connections=connections,
        ratio_to_raw=rate / raw if raw else None,
        failures=outcome.failures or None,
        others_cores=others.cores,
    )
    _say_times("sync_message", outcome, at_most=100)
    if raw:
        say("raw_publish", raw, "msg/s", before=before, after=after, in_flight=32)


async def measure_batches(target: Target, *, seconds: float) -> None:
    """Sync batches, and wait until the last message can be read."""
    plan = Plan(
        url=target.url,
        key=target.key,
        name=_name("batch"),
        connections=BATCH_CONNECTIONS,
        seconds=seconds,
        batch=BATCH,
    )
    counted = await _counted(target)
    with elsewhere(target.run) as others:
        outcome = await loaded(plan)
        readable_at = await _readable(target, counted + outcome.sent)
    readable_s = readable_at - outcome.began
    say(
        "sync_batch",
        len(outcome.took_ms) * BATCH / seconds,
        "msg/s",
        at_least=8000,
        connections=BATCH_CONNECTIONS,
        batch=BATCH,
        failures=outcome.failures or None,
        others_cores=others.cores,
    )
    _say_times("sync_batch", outcome)
    say(
        "readable",
        outcome.sent / readable_s,
        "msg/s",
        at_least=4000,
        messages=outcome.sent,
        seconds=readable_s,
        how="first POST until GET /api/stats counts all",
    )


async def measure_pace(target: Target, *, seconds: float, connections: int) -> None:
    """Time from acknowledgement to readable at a steady pace."""
    pace = Pace(
        url=target.url,
        key=target.key,
        user=await _user(target),
        name=_name("pace"),
        rate=RATE,
        connections=connections,
        seconds=seconds,
    )
    found = await paced(pace)
    ways = {
        "told": (found.told_ms, "acknowledgement until /api/live names its session"),
        "read": (found.read_ms, "acknowledgement until GET ?after= has answered"),
    }
    for way, (times, how) in ways.items():
        for share in (0.5, 0.99):
            say(
                f"readable_{way}_p{round(share * 100)}",
                percentile(times, share),
                "ms",
                at_most=250 if share > 0.9 else None,
                messages=len(times),
                rate=RATE,
                how=how,
            )
    if found.failed or found.unheard:
        say("readable_missed", found.failed + found.unheard, "messages", at_most=0)


def _say_times(name: str, outcome: Outcome, *, at_most: float | None = None) -> None:
    say(f"{name}_p50", percentile(outcome.took_ms, 0.5), "ms")
    say(f"{name}_p99", percentile(outcome.took_ms, 0.99), "ms", at_most=at_most)


async def _get(target: Target, path: str) -> dict[str, object]:
    connection = await Connection.to(target.door)
    try:
        body = _answered(path, *await connection.ask(target.door.get(path)))
    finally:
        connection.close()
    return msgspec.json.decode(body, type=dict[str, object])


def _answered(path: str, status: int, body: bytes) -> bytes:
    if status != 200:
        raise RuntimeError(f"{path}: {status} {body[:200]!r}")
    return body


async def _counted(target: Target) -> int:
    return int(str((await _get(target, "/api/stats"))["messageCount"]))


async def _user(target: Target) -> UUID:
    me = await _get(target, "/api/me")
    return UUID(msgspec.convert(me["user"], dict[str, str])["id"])


async def _readable(target: Target, messages: int) -> float:
    """Wait until so many messages are counted, and tell when that was."""
    async with asyncio.timeout(READABLE_WITHIN_S):
        while await _counted(target) < messages:
            await asyncio.sleep(LOOK_EVERY_S)
    return monotonic()


async def _all_readable(target: Target) -> None:
    """Let the projections catch up, so that the next measurement begins at rest."""
    async with asyncio.timeout(READABLE_WITHIN_S):
        while True:
            health = await _get(target, "/health")
            projections = msgspec.convert(health["projections"], dict[str, dict])  # type: ignore[type-arg]
            if all(ready["lag"] == 0 for ready in projections.values()):
                return
            await asyncio.sleep(LOOK_EVERY_S)


def _mean(before: float | None, after: float | None) -> float | None:
    return (before + after) / 2 if before and after else None


def _name(kind: str) -> str:
    """Name a measurement's sessions, so that it may be repeated on the same system."""
    return f"{kind}-{monotonic():.0f}"
