"""Is the system well: the log for certain, the projections as far as they say."""

import asyncio
from typing import Any

import msgspec
from litestar import Response, get

from services.gateway.gateway import AnyRequest, Gateway, gateway_of, json_answer
from services.gateway.handlers import now_ms
from services.gateway.openapi import answers
from shared.errors import ServiceError, Unavailable
from shared.events import encode
from shared.requests import SERVICES, AskReady, Ready


LOG_S = 2.0
PROJECTION_S = 0.5
BEHIND = 1000
"""Events; under load every projection is a few behind."""


class LogHealth(msgspec.Struct, frozen=True):
    """The newest event's place in the log."""

    seq: int


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`lagging` names the projections that are away or far behind."""

    status: str = msgspec.field(default="ok")
    timestamp: int
    version: str
    log: LogHealth
    projections: dict[str, Ready | str]
    lagging: list[str] = []

    def encoded(self) -> bytes:
        return encode({"status": self.status, **_fields(self)})


def _fields(health: Health) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(health)
    return built


@get(
    "/health",
    operation_id="health",
    tags=["sync"],
    security=[{}],
    responses=answers(Health, description="The log answers."),
)
async def health(request: AnyRequest) -> Response[bytes]:
    """Say whether the system can take and keep what it is sent.

    Really asks the log. Answers 200 also when a projection lags or is away, and
    names it under `lagging`: what is synced meanwhile is kept and appears later.
    503 only if the log itself cannot be reached, or has refused the last write.
    """
    gateway = gateway_of(request)
    asking = asyncio.gather(*(_state(gateway, name) for name in SERVICES))
    head, states = await asyncio.gather(_head(gateway), asking)
    projections = dict(zip(SERVICES, states, strict=True))
    answer = Health(
        timestamp=now_ms(),
        version=gateway.version,
        log=LogHealth(seq=head),
        projections=projections,
        lagging=[name for name, state in projections.items() if _is_lagging(state)],
    )
    return json_answer(answer.encoded())


async def _head(gateway: Gateway) -> int:
    if gateway.log.refusal:
        raise Unavailable(gateway.log.refusal)
    try:
        async with asyncio.timeout(LOG_S):
            return await gateway.log.head()
    except TimeoutError as error:
        raise Unavailable("The log cannot be reached.") from error


async def _state(gateway: Gateway, service: str) -> Ready | str:
    try:
        ready: Ready = await gateway.bus.answer(
            AskReady(), service=service, timeout=PROJECTION_S
        )
    except ServiceError:
        return "away"
    return ready


def _is_lagging(state: Ready | str) -> bool:
    return isinstance(state, str) or state.lag > BEHIND or state.workers == 0
