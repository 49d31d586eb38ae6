"""What can happen to a running system: kills, stops, absences, crowds and rude clients."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bench.chaos.judge import replayed
from bench.chaos.load import OK, Load, spelled
from bench.chaos.trial import RECOVERED_WITHIN_S, Fault, NotHere, Trial
from bench.chaos.world import PARTS
from bench.connection import Connection as Wire
from deploy.local.logs import log_path
from services.ingest.projection import PROJECTION
from shared.lease import LEASE_S
from shared.postgres import Connection, connect


Send = Callable[[signal.Signals], None]

GONE_S = 0.3
"""How long a killed process may take to be seen as gone."""
ATTEMPTS = 400
ATTEMPT_S = 0.02
_INSIDE = """
SELECT 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.state = 'idle in transaction' AND l.relation = 'checkpoint'::regclass
  AND l.mode = 'RowExclusiveLock' AND a.state_change < clock_timestamp() - interval '15 ms'
"""
PAST_LEASE_S = LEASE_S + 1.5
RUDE = 100

TAKEN_OVER_S = 20.0


def kills(rounds: int) -> Fault:
    """Kill every process in turn, in a new order each round."""

    async def fault(trial: Trial) -> None:
        for _ in range(rounds):
            for victim in trial.dice.sample(PARTS, len(PARTS)):
                await kill(trial, victim)

    return fault


async def kill(trial: Trial, victim: str) -> None:
    await trial.flows()
    await asyncio.sleep(trial.dice.uniform(0, 0.2))
    old = trial.world.system.kill(victim)
    trial.blows += 1
    async with asyncio.timeout(RECOVERED_WITHIN_S):
        await trial.world.system.restarted(victim, old)
    await trial.recovers()


def frozen(victim: str) -> Fault:
    """Stop a server so that its connections stay and nobody answers."""

    async def fault(trial: Trial) -> None:
        with trial.calm():
            trial.world.send(victim, signal.SIGSTOP)
            trial.blows += 1
            try:
                await _away(trial, victim)
            finally:
                trial.world.send(victim, signal.SIGCONT)
        await trial.recovers()

    return fault


def absent(victim: str) -> Fault:
    """Kill a server and keep it from starting again, so that connections are refused."""

    async def fault(trial: Trial) -> None:
        needed = _needed(trial, victim)
        aside = needed.with_name(f"{needed.name}.aside")
        needed.rename(aside)
        try:
            trial.world.system.kill(victim)
            trial.blows += 1
            await asyncio.sleep(GONE_S)
            with trial.calm():
                await _away(trial, victim)
        finally:
            aside.rename(needed)
        await trial.recovers()
        async with asyncio.timeout(RECOVERED_WITHIN_S):
            while victim not in trial.world.system.run.pids:
                await asyncio.sleep(GONE_S)

    return fault


def _needed(trial: Trial, victim: str) -> Path:
    """Name the file without which a server does not start."""
    folder = trial.world.system.settings.data_dir
    if victim == "nats":
        return folder / "nats" / "nats.conf"
    return folder / "postgres" / "data" / "postgresql.conf"


async def _away(trial: Trial, victim: str) -> None:
    """Measure what the others do meanwhile; without Postgres, writes must still work."""
    before = len(trial.memory.acknowledged)
    with trial.world.measured(without=victim) as busy:
        await asyncio.sleep(trial.away_s)
    trial.note_busy(busy)
    number = len(trial.memory.acknowledged) - before
    trial.notes.append(f"{number} messages acknowledged meanwhile")
    if victim == "postgres" and not number:
        trial.problems.append("nothing was accepted while Postgres was away")


async def rude_clients(trial: Trial) -> None:
    """Disconnect after sending, without hearing; then say it all again and listen."""
    door = trial.world.door(trial.person)
    messages = [trial.memory.message("rude", number) for number in range(RUDE)]
    for message in messages:
        connection = await Wire.to(door)
        unheard = asyncio.ensure_future(connection.ask(spelled(door, [message])))
        await asyncio.sleep(trial.dice.uniform(0, 0.01))
        connection.close()
        trial.blows += 1
        trial.memory.failures["disconnected"] += bool(
            isinstance(
                (await asyncio.gather(unheard, return_exceptions=True))[0], OSError
            )
        )
    polite = await Wire.to(door)
    for message in messages[::2]:
        status, _ = await polite.ask(spelled(door, [message]))
        if status != OK:
            trial.problems.append(f"said again, refused with {status}")
        trial.memory.acknowledged.add(
            (message["sessionExternalId"], message["externalId"])
        )
    polite.close()


async def crowd(trial: Trial) -> None:
    """Work with 1, 4, then 2 ingest workers; one is killed, one sleeps past its lease."""
    world, names = trial.world, [f"ingest-{number}" for number in (2, 3, 4)]
    async with AsyncExitStack() as leaving:
        workers = [
            (await leaving.enter_async_context(world.beside("ingest", name)))[0]
            for name in names
        ]
        await _busy_with(trial, 4)
        killed, sleeper = trial.dice.sample(workers, 2)
        killed.signal(signal.SIGKILL)
        trial.blows += 1
        await asyncio.sleep(GONE_S)
        await _busy_with(trial, 4)
        await _zombie(trial, sleeper.name, sleeper.signal)
        await _busy_with(trial, 4)
        for worker in workers[:2]:
            await worker.stop()
        await _busy_with(trial, 2)
        with trial.calm():
            trial.problems += await replayed(world)
    await trial.flows()


async def _zombie(trial: Trial, name: str, send: Send) -> None:
    """Put a worker to sleep until others have its lanes; awake, it must not write late."""
    send(signal.SIGSTOP)
    trial.blows += 1
    try:
        await asyncio.sleep(PAST_LEASE_S)
        with trial.calm():
            await _others_go_on(trial)
    finally:
        send(signal.SIGCONT)
    await asyncio.sleep(1)
    said = log_path(trial.world.system.settings.data_dir, name).read_text()
    fenced = [line for line in said.splitlines() if "projection.restarted" in line]
    trial.notes.append(f"the sleeper was fenced out {len(fenced)} times")


async def caught_in_the_act(trial: Trial) -> None:
    """Put one of two workers to sleep between two statements of a transaction."""
    world = trial.world
    url = world.system.run.postgres_url
    async with world.beside("ingest", "ingest-2") as (worker, _):
        with trial.calm():
            await world.settled(workers=2)
        async with await connect(url, schema=PROJECTION.schema) as db:
            await _asleep_inside(trial, db, worker.signal)
            try:
                with trial.calm():
                    await asyncio.sleep(PAST_LEASE_S)
                    await _others_go_on(trial)
            finally:
                worker.signal(signal.SIGCONT)
        with trial.calm():
            await world.settled(workers=2)


async def _asleep_inside(trial: Trial, db: Connection, send: Send) -> None:
    """Stop and wake the worker until it is stopped where it holds a lane's row."""
    for _ in range(ATTEMPTS):
        await asyncio.sleep(trial.dice.uniform(0, 0.1))
        send(signal.SIGSTOP)
        trial.blows += 1
        await asyncio.sleep(ATTEMPT_S)
        if await (await db.execute(_INSIDE)).fetchone():
            return
        send(signal.SIGCONT)
    raise NotHere(f"no transaction was hit in {ATTEMPTS} attempts")


async def _others_go_on(trial: Trial) -> None:
    """See the living apply what was written while one sleeps: its lanes too."""
    url, head = f"{trial.world.system.run.url}/health", 0
    try:
        async with asyncio.timeout(TAKEN_OVER_S):
            while True:
                told = (await trial.world.api.get(url)).json()
                ingest = told["projections"]["ingest"]
                head = head or told["log"]["seq"]
                if ingest != "away" and ingest["seq"] >= head:
                    return
                await asyncio.sleep(GONE_S)
    except TimeoutError:
        trial.problems.append(
            f"a sleeping worker held the others up for {TAKEN_OVER_S:.0f} s"
        )


async def _busy_with(trial: Trial, number: int) -> None:
    """Let so many workers divide the load for a while."""
    await trial.flows()
    with trial.calm():
        await trial.world.settled(workers=number)
    await trial.flows()


async def two_gateways(trial: Trial) -> None:
    """Send the same messages, by the same ids, through a second front door; kill it twice."""
    world, memory = trial.world, trial.memory
    async with world.beside("gateway", "gateway-2") as (second, url):
        await world.opens(url, trial.person.key)
        async with Load(world.door(trial.person, url), memory):
            for _ in range(2):
                await trial.flows(2 * RUDE)
                second.signal(signal.SIGKILL)
                trial.blows += 1
                await world.opens(url, trial.person.key)
                await trial.recovers()
            await trial.flows(2 * RUDE)
