"""What changes, told to browsers and scripts as server-sent events."""

import msgspec
from litestar import Response, get, post
from litestar.response import Stream

from services.gateway.gateway import AnyRequest, gateway_of, json_answer
from services.gateway.handlers import now_ms
from services.gateway.live import Announcement
from services.gateway.openapi import answers, described, text
from services.gateway.parameters import Parameters
from services.gateway.tickets import VALID_S
from shared.events import encode


class Ticket(msgspec.Struct, frozen=True, rename="camel"):
    """Good for one connection, soon."""

    ticket: str
    expires_in_s: int


@post(
    "/api/live/ticket",
    operation_id="issueLiveTicket",
    tags=["live"],
    status_code=200,
    responses=answers(Ticket),
)
async def issue_ticket(request: AnyRequest) -> Response[bytes]:
    """Get a ticket for `/api/live?ticket=…`, for clients that cannot send headers.

    Needs the scope `read`. Valid once, for 60 seconds. Keys are never accepted in
    a URL.
    """
    gateway = gateway_of(request)
    key = gateway.admit(request, "read")
    ticket = Ticket(gateway.tickets.issue(key), int(VALID_S))
    return json_answer(encode(ticket))


@get(
    "/api/live",
    operation_id="live",
    tags=["live"],
    operation_class=described(
        query=[
            text("ticket", "Instead of the Authorization header."),
            text("lastEventId", "Instead of the Last-Event-ID header."),
        ]
    ),
    responses=answers(
        Announcement,
        description="A stream of server-sent events; this is the data of `changed`.",
        media_type="text/event-stream",
    ),
)
async def live(request: AnyRequest) -> Stream:
    """Hear what changes, as it changes; needs the scope `read`.

    `changed` names sessions to fetch again; `refresh` means that events were missed,
    so fetch everything again. Send the last `id` as `Last-Event-ID` when you come
    back. A comment every 15 seconds shows that the stream is alive.
    """
    gateway = gateway_of(request)
    asked = Parameters(request)
    ticket = asked.text("ticket")
    if ticket:
        key = gateway.welcome(gateway.tickets.redeem(ticket), "read")
    else:
        key = gateway.admit(request, "read")
    stream = gateway.live.stream(
        key.user,
        last_id=request.headers.get("last-event-id") or asked.text("lastEventId"),
        is_welcome=lambda: gateway.keyring.holds(key, now_ms()),
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(stream, media_type="text/event-stream", headers=headers)


ROUTES = [issue_ticket, live]
