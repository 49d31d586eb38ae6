"""How events are read: today's, yesterday's, tomorrow's and unheard-of ones."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.events import (
    EVENTS,
    UPCASTERS,
    Envelope,
    NewerVersion,
    SessionRenamed,
    decode_envelope,
    encode,
    open_event,
    record,
)
from tests.factories import ADA, NOON, the_log


GOLDEN = Path(__file__).parent / "golden"


def an_envelope(type_: str, *, v: int = 1, **data: Any) -> Envelope:
    return Envelope(
        id=ADA,
        type=type_,
        v=v,
        time=NOON,
        user=ADA,
        correlation_id="c",
        data=msgspec.Raw(encode(data)),
    )


def test_the_log_touches_every_type() -> None:
    """
    The canonical log has an event of every type there is.
    """
    assert set(EVENTS) == {type(entry.event).__name__ for entry in the_log()}


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_golden_is_read(name: str) -> None:
    """
    What version 1 of an event looked like when it was first written can still be read.
    """
    stored = (GOLDEN / f"{name}.v1.json").read_bytes().strip()
    envelope = decode_envelope(stored)
    event = open_event(envelope)

    assert name == type(event).__name__
    assert stored == encode(
        msgspec.structs.replace(envelope, data=msgspec.Raw(encode(event)))
    )


def test_unknown_type_is_skipped() -> None:
    """
    A type that this code has never heard of is no event to it, and no error.
    """
    payload = encode(an_envelope("MoonLanded", where="here"))

    assert record(payload, seq=1, partition=0) is None


def test_unknown_fields_are_ignored() -> None:
    """
    A field added by newer code does not disturb older code.
    """
    event = open_event(an_envelope("SessionRenamed", title="T", colour="red"))

    assert SessionRenamed(title="T") == event


def test_newer_version_is_not_guessed() -> None:
    """
    An event of a version we do not know is refused by name.
    """
    with pytest.raises(NewerVersion, match="SessionRenamed version 9"):
        open_event(an_envelope("SessionRenamed", v=9, title="T"))


def test_old_versions_are_carried_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An old payload passes through every upcaster between its version and ours.
    """
    monkeypatch.setattr(SessionRenamed, "version", 3)
    monkeypatch.setitem(
        UPCASTERS, ("SessionRenamed", 1), lambda old: {"name": old["label"]}
    )
    monkeypatch.setitem(
        UPCASTERS, ("SessionRenamed", 2), lambda old: {"title": old["name"]}
    )

    event = open_event(an_envelope("SessionRenamed", v=1, label="T"))

    assert SessionRenamed(title="T") == event
