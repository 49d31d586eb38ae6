"""The nats-server configuration: durable by default, closed to strangers."""

import json
from pathlib import Path
from urllib.parse import urlsplit


MAX_PAYLOAD = 8 * 1024 * 1024
"""The largest message in bytes; the server counts headers in."""


def render(url: str, *, folder: Path, monitor_port: int | None = None) -> str:
    """Write the configuration of a server that clients reach at `url`.

    `sync_interval: always` is what makes an acknowledgement mean "on disk": the
    server's own default flushes every two minutes. The feature flag stays off
    because nats-py's ordered consumers go deaf when it is on.
    """
    address = urlsplit(url)
    lines = [
        "server_name: opensync",
        f"listen: {_quoted(f'{address.hostname}:{address.port}')}",
        f"pid_file: {_quoted(str(folder / 'nats.pid'))}",
        f"max_payload: {MAX_PAYLOAD}",
        f"authorization {{ {_authorization(url)} }}",
        f"jetstream {{ store_dir: {_quoted(str(folder))}, sync_interval: always }}",
        "feature_flags { js_ack_fc_v2: false }",
    ]
    if monitor_port is not None:
        lines.append(f"http: {_quoted(f'127.0.0.1:{monitor_port}')}")
    return "\n".join(lines) + "\n"


def _authorization(url: str) -> str:
    address = urlsplit(url)  # not unquoted, as nats-py does not unquote either
    if not address.username:
        raise ValueError("the NATS URL names neither a token nor a user")
    if address.password is None:
        return f"token: {_quoted(address.username)}"
    return f"user: {_quoted(address.username)}, password: {_quoted(address.password)}"


def _quoted(text: str) -> str:
    # JSON's string escapes are a subset that the server's parser also knows
    return json.dumps(text, ensure_ascii=False)
