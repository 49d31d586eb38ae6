"""`opensync deadletters`: what could not be applied, why, and what to do about it."""

import sys
from typing import Annotated, Any

import msgspec
import typer

from deploy.cli.events import QUIET, shown
from deploy.cli.output import AsJson, as_json, line, moment, table
from deploy.cli.running import Running, perform
from deploy.projections import projection_called
from shared.errors import Invalid, NotFound, ServiceError, Unavailable
from shared.events import decode_envelope
from shared.log import Stored
from shared.requests import (
    SERVICES,
    DeadLetters,
    DeadLetterView,
    ListDeadLetters,
    Retried,
    RetryDeadLetter,
)


app = typer.Typer(help="See, retry and skip what failed.", no_args_is_help=True)

FAILED = 1
BAD_OPERATION = 2
PAGE = 500
CUT = 200
"""Characters of a text that are shown; the rest is the user's own affair."""

Name = Annotated[str, typer.Argument(metavar="PROJECTION")]
Seq = Annotated[int, typer.Argument(help="The event's place in the log.")]
All = Annotated[bool, typer.Option("--all", help="Every session that is blocked.")]


@app.command("list")
def list_(projection: str | None = None, *, json: AsJson = False) -> None:
    """List what failed and what waits behind it, oldest first."""

    async def work(system: Running) -> None:
        services = SERVICES if projection is None else (_service(projection),)
        letters = [found for one in services for found in await _letters(system, one)]
        if json:
            as_json(letters)
            return
        titles = ("PROJECTION", "SEQ", "TYPE", "USER", "SESSION", "SINCE", "ERROR")
        table(titles, [_row(letter) for letter in letters])

    perform(work, refusal=BAD_OPERATION)


@app.command()
def show(projection: Name, seq: Seq, *, json: AsJson = False) -> None:
    """Show one: its error, its session, and the event itself, with texts cut."""

    async def work(system: Running) -> None:
        letter = await _letter(system, projection, seq)
        stored = await system.log.at(seq)
        event = _told(stored) if stored else None
        if json:
            as_json({"letter": letter, "event": event})
            return
        fields = msgspec.to_builtins(letter)
        for name, value in {**fields, "since": moment(letter.since)}.items():
            line(f"{name:<12}{value}")
        if letter.error is None:
            line("error       none: it waits behind an earlier event of its session")
        line()
        raw = msgspec.json.format(msgspec.json.encode(event)).decode()
        line(raw if event else "the log holds this event no longer")

    perform(work, refusal=BAD_OPERATION)


@app.command()
def retry(
    projection: Name,
    seq: Annotated[int | None, typer.Argument(help="Any event of the session.")] = None,
    *,
    all_: All = False,
    json: AsJson = False,
) -> None:
    """Apply a blocked session's events in order, all or none."""

    async def work(system: Running) -> None:
        if (seq is None) != all_:
            raise Invalid("Name a sequence, or say --all.")
        service = _service(projection)
        if seq is not None:
            await _letter(system, projection, seq)
            seqs = [seq]
        else:
            seqs = [one.seq for one in await _letters(system, service) if one.error]
        commands = [RetryDeadLetter(seq=each) for each in seqs]
        await _tried(system, service, commands, json=json)

    perform(work, refusal=BAD_OPERATION)


@app.command()
def skip(projection: Name, seq: Seq, *, json: AsJson = False) -> None:
    """Leave an event out for good, and apply what waited behind it."""

    async def work(system: Running) -> None:
        letter = await _letter(system, projection, seq)
        if letter.error is None:
            raise Invalid(f"{seq} has not failed, it waits behind one that has.")
        commands = [RetryDeadLetter(seq=seq, skip=True)]
        await _tried(system, _service(projection), commands, json=json)

    perform(work, refusal=BAD_OPERATION)


async def _tried(
    system: Running, service: str, commands: list[RetryDeadLetter], *, json: bool
) -> None:
    results: list[dict[str, Any]] = []
    for command in commands:
        try:
            retried: Retried = await system.bus.answer(command, service=service)
        except NotFound:
            continue  # another event of the same session has taken it along
        results.append({"seq": command.seq, **msgspec.to_builtins(retried)})
    if json:
        as_json(results)
    for result in results if not json else ():
        line(
            f"{result['seq']}: {result['applied']} applied,"
            f" {result['remaining']} waiting"
        )
    errors = [f"{r['seq']}: {r['error']}" for r in results if r.get("error")]
    if errors:
        sys.stderr.write("\n".join([*errors, ""]))
        sys.exit(FAILED)


def _service(projection: str) -> str:
    """Say who answers for a projection: its name begins with it."""
    return projection_called(projection).name.partition("-")[0]


async def _letters(system: Running, service: str) -> list[DeadLetterView]:
    """Read all pages; a service that is away stops a list that would not be whole."""
    found: list[DeadLetterView] = []
    start = 0
    while True:
        try:
            page: DeadLetters = await system.bus.answer(
                ListDeadLetters(from_seq=start, limit=PAGE), service=service
            )
        except Unavailable:
            raise
        except ServiceError as error:
            raise Unavailable(f"The {service} service: {error}") from error
        found += page.letters
        if len(page.letters) < PAGE:
            return found
        start = page.letters[-1].seq + 1


async def _letter(system: Running, projection: str, seq: int) -> DeadLetterView:
    page: DeadLetters = await system.bus.answer(
        ListDeadLetters(from_seq=seq, limit=1), service=_service(projection)
    )
    if not page.letters or page.letters[0].seq != seq:
        raise NotFound(f"{projection} has no dead letter {seq}.")
    return page.letters[0]


def _row(letter: DeadLetterView) -> tuple[Any, ...]:
    error = letter.error or "(waits behind it)"
    return (
        letter.projection,
        letter.seq,
        letter.type,
        letter.user,
        letter.session,
        moment(letter.since),
        _cut(" ".join(error.split()), 80),
    )


def _told(stored: Stored) -> dict[str, Any]:
    """Show the envelope, and the payload as far as it can be read."""
    told = shown(stored)
    told.pop("detail", None)
    try:
        data = msgspec.json.decode(decode_envelope(stored.payload).data)
    except msgspec.MsgspecError:
        return told
    return {**told, "data": _shortened(data)}


def _shortened(value: Any) -> Any:
    match value:
        case str():
            return _cut(value, CUT)
        case list():
            return [_shortened(each) for each in value]
        case dict():
            return {
                name: _shortened(each)
                for name, each in value.items()
                if name not in QUIET - {"parts", "text_content", "extra"}
            }
    return value


def _cut(text: str, length: int) -> str:
    printable = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return printable if len(printable) <= length else f"{printable[:length]}…"
