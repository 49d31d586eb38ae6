"""A system of the real embedded servers with small stand-ins for the services."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import Service


FRONT_DOOR = """
import http.server, os

class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

address = ("127.0.0.1", int(os.environ["OPENSYNC_PORT"]))
http.server.HTTPServer(address, Door).serve_forever()
"""
STAND_INS = (
    Service(
        name="ingest",
        command=(sys.executable, "-c", "import signal; signal.pause()"),
        workers=lambda settings: settings.ingest_workers,
    ),
    Service(name="gateway", command=(sys.executable, "-c", FRONT_DOOR), is_front=True),
)
UP = """
import os, sys
from conftest import STAND_INS
from deploy.local import up
from shared.settings import read_settings

sys.exit(up(read_settings(os.environ), services=STAND_INS))
"""

Start = Callable[[Path, int], "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def stand_ins() -> tuple[Service, ...]:
    return STAND_INS


@pytest.fixture
def start_up() -> Iterator[Start]:
    """Start `opensync up` with the stand-ins, as its own process."""
    started: list[subprocess.Popen[str]] = []

    def start(data_dir: Path, port: int) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", UP],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": str(Path(__file__).parent),
                "OPENSYNC_DATA_DIR": str(data_dir),
                "OPENSYNC_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Look until something is so; fail when it is not within 20 seconds."""

    def look(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.02)

    return look
