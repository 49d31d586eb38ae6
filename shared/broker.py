"""Request and reply between services: FastStream answers, any process may ask.

A reply larger than a message travels in chunks. An error travels as its kind and its
sentence, and is raised again on the asking side as what it was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import msgspec
import structlog
from faststream import AckPolicy
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from shared.connection import unavailable
from shared.errors import BY_NAME, ServiceError, Unavailable
from shared.events import encode
from shared.requests import Request


log = structlog.get_logger()

CHUNK = 2**20
ASK_TIMEOUT_S = 8.0
AWAY_S = 2.0
"""How long a question waits for a service that is just being restarted."""
SILENCE_S = 4.0
CONCURRENT = 16

R = TypeVar("R", bound=Request)
Handler = Callable[[Any], Awaitable[Any]]


class Answerer(msgspec.Struct, frozen=True):
    """One request type and the function that answers it."""

    request: type[Request]
    handler: Handler


def service_broker(
    url: str, *, service: str, answerers: Sequence[Answerer]
) -> NatsBroker:
    """Build the broker that answers a service's requests, shared among its processes."""
    broker = NatsBroker(
        url,
        name=f"{service}-requests",
        apply_types=False,
        ack_policy=AckPolicy.MANUAL,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]  # nats-py sleeps for it: any number
        ping_interval=15,
        graceful_timeout=5,
        logger=None,
    )
    for answerer in answerers:
        _subscribe(broker, service, answerer)
    return broker


def _subscribe(broker: NatsBroker, service: str, answerer: Answerer) -> None:
    decoder = msgspec.json.Decoder(answerer.request)

    async def keep_raw(message: NatsMessage) -> Msg:
        return message.raw_message

    async def answer(message: Msg) -> None:
        client = message._client  # noqa: SLF001  # the reply goes where the request came from
        await _reply(client, message, answerer, decoder)

    broker.subscriber(
        answerer.request.subject(service),
        queue=service,
        decoder=keep_raw,
        no_reply=True,
        max_workers=CONCURRENT,
    )(answer)


async def _reply(
    client: Client, message: Msg, answerer: Answerer, decoder: msgspec.json.Decoder[Any]
) -> None:
    """Answer one request and log it: one line per message handled."""
    began = perf_counter()
    status = "ok"
    try:
        answer = await answerer.handler(decoder.decode(message.data))
        body = answer if isinstance(answer, bytes) else encode(answer)
    except ServiceError as error:
        status, body = type(error).__name__, str(error).encode()
    except msgspec.ValidationError as error:
        status, body = "Invalid", str(error).encode()
    except Exception:
        log.exception("request.failed", subject=message.subject)
        status, body = "ServiceError", b"Something went wrong on our side."
    for at in range(0, max(len(body), 1), CHUNK):
        more = at + CHUNK < len(body)
        await client.publish(
            message.reply,
            body[at : at + CHUNK],
            headers={"Status": "more" if more else status},
        )
    took = round((perf_counter() - began) * 1000, 1)
    log.debug("request.answered", subject=message.subject, status=status, took_ms=took)


class Bus:
    """Asks services; one per process."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(
        self,
        request: Request,
        *,
        service: str | None = None,
        timeout: float = ASK_TIMEOUT_S,
    ) -> bytes:
        """Return the answer's JSON; raises what the service raised, or Unavailable.

        `service` says who is meant by a request that every service answers.
        """
        service = service or request.service
        try:
            async with asyncio.timeout(timeout):
                return await self._patiently(request, service)
        except (TimeoutError, NatsError) as error:
            raise unavailable(f"The {service} service") from error

    async def answer(
        self,
        request: Request,
        *,
        service: str | None = None,
        timeout: float = ASK_TIMEOUT_S,
    ) -> Any:
        """Return the answer decoded to the request's reply type."""
        body = await self.ask(request, service=service, timeout=timeout)
        return msgspec.json.decode(body, type=request.reply)

    async def _patiently(self, request: Request, service: str) -> bytes:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + AWAY_S
        while True:
            try:
                async with asyncio.timeout(
                    None if request.kind == "cmd" else SILENCE_S
                ):
                    return await self._once(request, request.subject(service))
            except TimeoutError:
                continue  # a question may be asked again: whoever had it may have died
            except _Away as away:
                if loop.time() > give_up:
                    raise unavailable(f"The {service} service") from away
                await asyncio.sleep(0.1)

    async def _once(self, request: Request, subject: str) -> bytes:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        try:
            await self._client.publish(subject, encode(request), reply=inbox)
            body = bytearray()
            while True:
                message = await subscription.next_msg(timeout=ASK_TIMEOUT_S)
                status = (message.headers or {}).get("Status", "503")
                if status == "503":
                    raise _Away
                body += message.data
                if status == "ok":
                    return bytes(body)
                if status != "more":
                    raise BY_NAME.get(status, ServiceError)(body.decode())
        finally:
            if not self._client.is_closed:
                await subscription.unsubscribe()


class _Away(Unavailable):
    """Nobody listens on the subject."""
