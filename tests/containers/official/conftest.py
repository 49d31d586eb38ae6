"""The images of the compose file in place of the embedded servers."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from shutil import which
from typing import Any

import docker
import psycopg
import pytest
import yaml
from docker.errors import APIError, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from deploy.nats.stream import ensure_stream
from shared.connection import connect_nats, drain
from shared.subjects import STREAM


ROOT = Path(__file__).parents[3]
CONTAINERS: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
PASSWORD = "12e5"  # noqa: S105 - for this run only; looks like a number on purpose
DEADLINE_S = 60.0
_databases = count()


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    # asked first on the command line: in vain, the library leaves a socket open
    if (
        not which("docker")
        or subprocess.run(
            ["docker", "info"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no Docker engine answers")
    client = docker.from_env()
    # the reaper is one more image to pull, and we stop what we start
    testcontainers_config.ryuk_disabled = True
    yield client
    client.close()


def container(engine: docker.DockerClient, name: str) -> DockerContainer:
    """Make a container of an image of the compose file, or skip."""
    image = CONTAINERS[name]["image"]
    try:
        engine.images.get(image)
    except ImageNotFound:
        try:
            engine.images.pull(image)
        except APIError as error:
            pytest.skip(f"{image} cannot be pulled: {error.explanation or error}")
    return DockerContainer(image)


def address(started: DockerContainer, port: int) -> str:
    return f"{started.get_container_host_ip()}:{started.get_exposed_port(port)}"


@pytest.fixture(scope="session")
def nats_server(engine: docker.DockerClient) -> Iterator[str]:
    ours = container(engine, "nats").with_exposed_ports(4222)
    for volume in CONTAINERS["nats"]["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            ours.with_volume_mapping(str(ROOT / source), target, *mode)
    given = CONTAINERS["nats"]["environment"]["NATS_PASSWORD"]
    quotes = given[0] + PASSWORD + given[-1]
    with ours.with_env("NATS_PASSWORD", quotes) as started:
        yield f"nats://opensync:{PASSWORD}@{address(started, 4222)}"


@pytest.fixture
async def nats_url(nats_server: str) -> AsyncIterator[str]:
    """A log of this test's own, empty."""
    await ensure_stream(nats_server)
    yield nats_server
    client = await connect_nats(nats_server, name="test")
    await client.jetstream().delete_stream(STREAM)
    await drain(client)


@pytest.fixture(scope="session")
def postgres_address(engine: docker.DockerClient) -> Iterator[str]:
    given = CONTAINERS["postgres"]["environment"] | {"POSTGRES_PASSWORD": PASSWORD}
    ours = container(engine, "postgres").with_exposed_ports(5432)
    for name, value in given.items():
        ours.with_env(name, value)
    with ours as started:
        yield f"postgresql://opensync:{PASSWORD}@{address(started, 5432)}"


@pytest.fixture
async def postgres_url(postgres_address: str) -> AsyncIterator[str]:
    """A database of this test's own."""
    name = f"test_{next(_databases)}"
    async with await admin(f"{postgres_address}/opensync") as db:
        await db.execute(f"CREATE DATABASE {name}")
        yield f"{postgres_address}/{name}"
        await db.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def admin(url: str) -> psycopg.AsyncConnection:
    """Connect, as soon as the server lets us."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await psycopg.AsyncConnection.connect(url, autocommit=True)
            except psycopg.OperationalError:
                await asyncio.sleep(0.2)
