"""What must hold after every fault: nothing lost, nothing doubled, nothing invented."""

from collections import Counter
from hashlib import sha256

from bench.chaos.load import Memory, Name
from bench.chaos.world import Person, World
from deploy.projections import PROJECTIONS
from shared import subjects
from shared.events import MessageSynced, record
from shared.log import Log
from shared.replay import Replay


SHOWN = 3


async def judged(world: World, person: Person, memory: Memory) -> list[str]:
    """Say what is wrong with the log, the session truth and the projections."""
    return [
        *memory.refusals[:SHOWN],
        *await _log(world, person, memory),
        *await _truth(world, person, memory),
        *await replayed(world),
    ]


async def _log(world: World, person: Person, memory: Memory) -> list[str]:
    """Find every acknowledged message in the log, unchanged, where it was said to be."""
    hashes: dict[int, str] = {}
    names: set[Name] = set()
    problems: list[str] = []
    async for stored in Log(world.client).read(subjects.stored(user=person.id)):
        hashes[stored.seq] = sha256(stored.payload).hexdigest()
        if stored.hash != hashes[stored.seq]:
            problems.append(f"sequence {stored.seq} is not what its hash says")
        fact = record(stored.payload, seq=stored.seq, partition=0)
        if fact and isinstance(fact.event, MessageSynced):
            names.add((fact.event.session_external_id, fact.event.external_id))
    told = [place for place, _ in memory.receipts]
    wrong = [seq for seq, hash_ in memory.receipts if hashes.get(seq) != hash_]
    return [
        *problems,
        *_some(wrong, "receipts that the log does not honour"),
        *_some(memory.acknowledged - names, "acknowledged, and not in the log"),
        *_some(_doubled(told), "places in the log told for two messages"),
    ]


async def _truth(world: World, person: Person, memory: Memory) -> list[str]:
    """Hold what can be read against what was sent, by id and by content."""
    stored: list[tuple[Name, str]] = await _messages(world, person)
    texts = dict(stored)
    return [
        *_some(_doubled([name for name, _ in stored]), "messages twice"),
        *_some(memory.acknowledged - set(texts), "acknowledged, and not to be read"),
        *_some(
            [name for name, text in stored if memory.sent.get(name) != text],
            "messages that nobody sent so",
        ),
    ]


async def _messages(world: World, person: Person) -> list[tuple[Name, str]]:
    url, headers = world.system.run.url, {"Authorization": f"Bearer {person.key}"}
    listed = await world.api.get(f"{url}/sync/sessions/list", headers=headers)
    found: list[tuple[Name, str]] = []
    for session in listed.json()["sessionIds"]:
        answer = await world.api.get(
            f"{url}/api/sessions/{session}", params={"messages": "all"}, headers=headers
        )
        found += [
            ((session, message["externalId"]), message["textContent"])
            for message in answer.json()["messages"]
        ]
    return found


async def replayed(world: World) -> list[str]:
    """Compare every projection, table by table, with one built anew by a single worker."""
    problems: list[str] = []
    for projection in PROJECTIONS:
        replay = Replay(
            projection=projection,
            postgres_url=world.system.run.postgres_url,
            client=world.client,
        )
        found = await replay.check(lambda _at, _of: None)
        problems += [
            f"{projection.name} differs from its replay: {one}" for one in found[:SHOWN]
        ]
    return problems


def _doubled(names: list[Name] | list[int]) -> list[object]:
    return [name for name, number in Counter(names).items() if number > 1]


def _some(found: object, what: str) -> list[str]:
    listed = list(found)  # type: ignore[call-overload]
    return [f"{len(listed)} {what}: {listed[:SHOWN]}"] if listed else []
