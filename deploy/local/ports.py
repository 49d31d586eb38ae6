"""Which TCP ports are taken, and which are free."""

import errno
import secrets
import socket
from contextlib import suppress


class PortUnavailable(RuntimeError):
    """We cannot listen where we were told to."""


def require_free(host: str, port: int) -> None:
    """Fail with a sentence when the gateway could not listen there."""
    family, kind, proto, _, address = _resolve(host, port)
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise PortUnavailable(_sentence(error, host, port)) from error


LOWEST, HIGHEST = 10_000, 32_000
"""Below the ports that the system gives to outgoing connections: one of those could
take ours between our look and the server's start."""


def free_port() -> int:
    """Name a loopback port that nobody listens on now."""
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _resolve(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PortUnavailable(f"OPENSYNC_HOST={host} is no address here") from error


def _sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is already in use; choose another with"
            f" OPENSYNC_PORT, for example OPENSYNC_PORT={port + 1}"
        )
    return f"cannot listen on {host}:{port} ({error.strerror}); see OPENSYNC_PORT"
