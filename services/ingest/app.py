"""Composition root of ingest: its projection, its questions and its commands."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from nats.aio.client import Client

from services.ingest import queries
from services.ingest.handlers import SessionCommand, Sessions
from services.ingest.projection import PROJECTION
from shared import subjects
from shared.broker import Answerer
from shared.log import Log
from shared.postgres import Pool
from shared.process import Service, run_service
from shared.progress import passed
from shared.requests import (
    Decided,
    DeleteSession,
    GetPublicSession,
    GetSession,
    GetStats,
    ListExternalIds,
    ListSessions,
    RenameSession,
    ShareSession,
    UnshareSession,
)
from shared.settings import Settings


QUESTIONS: dict[Any, Callable[[Pool, Any], Awaitable[Any]]] = {
    ListSessions: queries.list_sessions,
    GetSession: queries.get_session,
    GetPublicSession: queries.get_public_session,
    ListExternalIds: queries.list_external_ids,
    GetStats: queries.get_stats,
}
COMMANDS = (RenameSession, ShareSession, UnshareSession, DeleteSession)


def answerers(pool: Pool, client: Client) -> list[Answerer]:
    """Say who answers what."""
    sessions = Sessions(Log(client))

    async def decide(command: SessionCommand) -> Decided:
        """Answer when it holds for readers too: a slug that is dead must be dead."""
        decided = await sessions.handle_session(command)
        lane = subjects.partition(command.user, UUID(decided.id))
        await passed(pool, {lane: decided.seq})
        return decided

    def asking(query: Callable[[Pool, Any], Awaitable[Any]]) -> Any:
        return lambda asked: query(pool, asked)

    return [
        *(Answerer(question, asking(query)) for question, query in QUESTIONS.items()),
        *(Answerer(command, decide) for command in COMMANDS),
    ]


async def main(settings: Settings) -> None:
    await run_service(
        Service(name="ingest", projection=PROJECTION, answerers=answerers), settings
    )
