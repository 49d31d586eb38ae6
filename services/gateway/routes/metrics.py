"""Numbers for a monitor, in Prometheus' text format: accepted, stored, projected."""

import asyncio

from litestar import Response, get

from services.gateway.gateway import AnyRequest, Gateway, gateway_of
from shared.errors import ServiceError
from shared.requests import SERVICES, AskReady, Ready


FORMAT = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_S = 1.0

Sample = tuple[str, float]
"""Labels, and a value."""


@get("/metrics", operation_id="metrics", tags=["sync"], security=[{}])
async def metrics(request: AnyRequest) -> Response[bytes]:
    """Count events: accepted by this gateway, stored in the log, projected by each service.

    A service that does not answer is missing from its metrics. Needs no key, and tells
    nothing but counts.
    """
    gateway = gateway_of(request)
    stored = await gateway.log.size()
    states = await asyncio.gather(*(_state(gateway, name) for name in SERVICES))
    known = [state for state in states if state]
    lines = [
        *_metric("opensync_events_accepted_total", [("", gateway.log.acknowledged)]),
        *_metric("opensync_events_stored", [("", stored)]),
        *_metric("opensync_log_sequence", [("", await gateway.log.head())]),
        *_metric("opensync_projected_sequence", _by_service(known, "seq")),
        *_metric("opensync_projection_lag_events", _by_service(known, "lag")),
        *_metric("opensync_projection_workers", _by_service(known, "workers")),
        *_metric("opensync_dead_letters", _by_service(known, "dead_letters")),
        *_metric("opensync_blocked_sessions", _by_service(known, "blocked_sessions")),
    ]
    return Response("\n".join([*lines, ""]).encode(), media_type=FORMAT)


async def _state(gateway: Gateway, service: str) -> Ready | None:
    try:
        ready: Ready = await gateway.bus.answer(
            AskReady(), service=service, timeout=PATIENCE_S
        )
    except ServiceError:
        return None
    return ready


def _by_service(states: list[Ready], field: str) -> list[Sample]:
    return [(f'{{service="{one.service}"}}', getattr(one, field)) for one in states]


def _metric(name: str, samples: list[Sample]) -> list[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    return [f"# TYPE {name} {kind}", *(f"{name}{of} {value}" for of, value in samples)]


ROUTES = [metrics]
