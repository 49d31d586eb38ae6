"""The embedded log server: the bundled nats-server as our child, on loopback only."""

import secrets
import sysconfig
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.local.files import private_folder, write_private
from deploy.local.ports import free_port
from deploy.local.process import Program
from deploy.nats.config import render


class EmbeddedNats:
    """A server whose port changes with every start of the system; its token stays."""

    name = "nats"

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "nats"
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"nats://{self._token()}@127.0.0.1:{self._port}"

    def prepare(self) -> None:
        private_folder(self.folder)
        if not self._token_file.exists():
            write_private(self._token_file, secrets.token_urlsafe(32))
        write_private(self._config_file, render(self.url, folder=self.folder))

    def program(self) -> Program:
        server = Path(sysconfig.get_path("scripts")) / "nats-server"
        return Program(
            name=self.name,
            command=(str(server), "-c", str(self._config_file)),
            # a soft ceiling: the collector works harder before it is reached
            environ={"GOMEMLIMIT": "256MiB"},
        )

    async def is_ready(self) -> bool:
        """Tell whether JetStream answers, not only the port."""
        client = Client()
        try:
            await client.connect(
                self.url,
                allow_reconnect=False,
                # the caller asks again; the client's own pause would be 2 s
                reconnect_time_wait=0,
                max_reconnect_attempts=1,
                connect_timeout=1,
                error_cb=_ignore,
            )
            await client.jetstream().account_info()
        except (NatsError, OSError, TimeoutError):
            return False
        finally:
            await client.close()
        return True

    @property
    def _token_file(self) -> Path:
        return self.folder / "token"

    @property
    def _config_file(self) -> Path:
        return self.folder / "nats.conf"

    def _token(self) -> str:
        return self._token_file.read_text()


async def _ignore(_: Exception) -> None:
    """Say nothing: a server on its way up refuses a few times."""
