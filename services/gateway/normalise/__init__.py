"""What a client sent becomes an event: shape only, no judgement and no I/O."""

from typing import Any

from services.gateway.normalise.bodies import decode_body
from services.gateway.normalise.fields import MESSAGE, SESSION, read, rest
from shared.errors import Invalid
from shared.events import MessageSynced, SessionSynced


__all__ = ["decode_body", "message_synced", "session_synced"]


def session_synced(item: Any) -> SessionSynced:
    if type(item) is not dict:
        raise Invalid("A session must be an object.")
    found, taken = read(item, SESSION)
    return SessionSynced(**found, extra=rest(item, taken, SESSION))


def message_synced(item: Any) -> MessageSynced:
    if type(item) is not dict:
        raise Invalid("A message must be an object.")
    found, taken = read(item, MESSAGE)
    if found.get("role") == "unknown" and item["role"] != "unknown":
        taken.remove("role")  # the client's own word is worth keeping
    return MessageSynced(**found, extra=rest(item, taken, MESSAGE))
