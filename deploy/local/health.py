"""Where the gateway answers, and whether the system is ready for its users."""

import asyncio
import http.client
import ipaddress

import msgspec

from shared.settings import Settings


class Health(msgspec.Struct):
    """The part of the answer that decides."""

    status: str


def url(settings: Settings) -> str:
    host = _reachable(settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


async def is_healthy(settings: Settings) -> bool:
    return await asyncio.to_thread(_ask, settings)


def _ask(settings: Settings) -> bool:
    client = http.client.HTTPConnection(
        _reachable(settings.host), settings.port, timeout=2
    )
    try:
        client.request("GET", "/health")
        answer = client.getresponse()
        body = answer.read()
        decoded = msgspec.json.decode(body, type=Health)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return False
    finally:
        client.close()
    return answer.status == http.client.OK and decoded.status == "ok"


def _reachable(host: str) -> str:
    """Turn "every address" into one that a client can open."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - IPv4
