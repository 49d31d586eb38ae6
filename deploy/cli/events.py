"""`opensync events`: the log, a line per event; no message is shown in full."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from deploy.cli.output import AsJson, as_json, line, moment
from deploy.cli.running import Running, perform, user_called
from shared import ids, subjects
from shared.errors import Invalid
from shared.events import (
    EVENTS,
    Envelope,
    Event,
    MessageSynced,
    NewerVersion,
    SessionSynced,
    decode_envelope,
    open_event,
)
from shared.log import Stored


POLL_S = 0.2
SHOWN = 60
QUIET = {"hash", "extra", "parts", "text_content"}
"""Fields that are secret, long, or both."""


def events(
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    session: Annotated[
        str | None, typer.Option(help="Only of this session: our id, or the client's.")
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only of this type.")
    ] = None,
    start: Annotated[
        int | None, typer.Option("--from", metavar="SEQ", help="From this sequence on.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option(help="Wait for more.")] = False,
    json: AsJson = False,
) -> None:
    """Show the events of the log; with --follow and no --from, only new ones."""

    async def work(system: Running) -> None:
        wanted = await _filter(system, user, session, type_)
        first = start or (await system.log.head() + 1 if follow else 1)
        async for stored in _read(system, wanted, first, follow=follow):
            told = shown(stored)
            if json:
                as_json(told)
            else:
                line(_line(told))

    perform(work)


async def _filter(
    system: Running, user: str | None, session: str | None, type_: str | None
) -> str:
    owner = user_called(user) if user else None
    if type_ and not type_.isidentifier():
        raise Invalid(f"{type_!r} cannot be the type of an event.")
    wanted = await _session(system, owner, session) if session else None
    return subjects.stored(type_ or "*", owner, wanted)


async def _session(system: Running, owner: UUID | None, session: str) -> UUID:
    """Find whose id it is, ours or the client's: some clients' ids are UUIDs too."""
    if owner is None:
        try:
            return UUID(session)
        except ValueError:
            raise Invalid(
                "Add --user: only together do they name the client's session."
            ) from None
    candidates = ids.session_candidates(owner, session)
    for candidate in candidates:
        if await system.log.newest(subjects.stored_of(owner, candidate)):
            return candidate
    return candidates[-1]


async def _read(
    system: Running, wanted: str, start: int, *, follow: bool
) -> AsyncIterator[Stored]:
    while True:
        head = await system.log.head()
        if start <= head:
            async for stored in system.log.read(wanted, start=start):
                yield stored
                head = max(head, stored.seq)
            start = head + 1
        if not follow:
            return
        await asyncio.sleep(POLL_S)


def shown(stored: Stored) -> dict[str, Any]:
    """Describe an event, also one that this command has never heard of."""
    try:
        envelope = decode_envelope(stored.payload)
    except msgspec.MsgspecError:
        return {"seq": stored.seq, "type": "unreadable", "detail": stored.subject}
    return {
        "seq": stored.seq,
        "partition": subjects.partition_of(stored.subject),
        "id": str(envelope.id),
        "type": envelope.type,
        "version": envelope.v,
        "time": envelope.time,
        "user": str(envelope.user),
        "session": str(envelope.session) if envelope.session else None,
        "correlationId": envelope.correlation_id,
        "detail": _detail(envelope),
    }


def _detail(envelope: Envelope) -> str:
    if envelope.type not in EVENTS:
        return "of a type that this version does not know"
    try:
        event = open_event(envelope)
    except NewerVersion:
        return f"of version {envelope.v}, newer than this version knows"
    except msgspec.MsgspecError:
        return "with a payload that cannot be read"
    return _told(event) if event else ""


def _told(event: Event) -> str:
    match event:
        case MessageSynced():
            text = event.text_content or f"{len(event.parts or [])} parts"
            return f"{_short(event.external_id)} {event.role or '-'}: {_short(text)}"
        case SessionSynced():
            return _short(f"{event.external_id} {event.title or ''}")
    fields = msgspec.to_builtins(event)
    return " ".join(
        f"{name}={_short(str(value))}"
        for name, value in fields.items()
        if name not in QUIET
    )


def _short(text: str) -> str:
    plain = " ".join(text.split())
    printable = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain
    )
    return printable if len(printable) <= SHOWN else f"{printable[:SHOWN]}…"


def _line(shown: dict[str, Any]) -> str:
    if "time" not in shown:
        return f"{shown['seq']:>8}  {shown['type']}  {shown['detail']}"
    session = shown["session"] or "-"
    return (
        f"{shown['seq']:>8}  {moment(shown['time'])}  {shown['type']:<15}"
        f"  {shown['user'][:8]}  {session[:8]:<8}  {shown['detail']}"
    )
