"""claude-code-sync as published on npm, installed once and driven like Claude Code does."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


PACKAGE = "claude-code-sync"
VERSION = "0.1.15"
CACHE = Path(__file__).parents[2] / ".cache" / f"{PACKAGE}-{VERSION}"
LONGEST_S = 30


def installed() -> Path:
    """Install the package once into the project; skip where that cannot be."""
    cli = CACHE / "node_modules" / PACKAGE / "dist" / "cli.js"
    if not shutil.which("node"):
        _without("Node is missing")
    if not cli.exists():
        _install()
    manifest = json.loads(cli.parents[1].joinpath("package.json").read_text())
    assert manifest["version"] == VERSION
    return cli


def _install() -> None:
    aside = CACHE.with_name(f"{CACHE.name}.{os.getpid()}")
    aside.mkdir(parents=True)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--save-exact"]
    command = ["npm", "install", *quiet, f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(
        command, cwd=aside, check=False, capture_output=True, text=True
    )
    if done.returncode:
        shutil.rmtree(aside)
        _without(f"npm cannot install {PACKAGE}: {done.stderr[-300:]}")
    shutil.rmtree(CACHE, ignore_errors=True)
    aside.rename(CACHE)


def _without(reason: str) -> None:
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run of the plugin ended."""

    status: int
    out: str
    err: str


@dataclass(slots=True, kw_only=True)
class ClaudeCodeSync:
    """The plugin in a home of its own."""

    cli: Path
    home: Path
    environ: dict[str, str] = field(repr=False)

    async def run(self, *words: str, stdin: Sequence[str] = ()) -> Finished:
        """Run a command; each line of input waits for the question before it."""
        process = await asyncio.create_subprocess_exec(
            "node",
            str(self.cli),
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environ,
        )
        try:
            async with asyncio.timeout(LONGEST_S):
                return await _conversation(process, stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def hook(self, event: str, **fields: Any) -> None:
        """Fire a hook; it must end well and have nothing to complain about."""
        heard = {"hook_event_name": event, **fields}
        done = await self.run("hook", event, stdin=[json.dumps(heard)])
        assert Finished(0, "", "") == done, event

    def configured_by(self, environ: Mapping[str, str]) -> "ClaudeCodeSync":
        """Drop the configuration in the environment, and use this instead."""
        ours = {k: v for k, v in self.environ.items() if not k.startswith("CLAUDE_")}
        return ClaudeCodeSync(cli=self.cli, home=self.home, environ={**ours, **environ})


async def _conversation(
    process: asyncio.subprocess.Process, lines: Sequence[str]
) -> Finished:
    """Answer question by question: a readline of its own swallows what comes early."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    said = b""
    for number, line in enumerate(lines):
        if len(lines) > 1:
            said += await _question(process.stdout)
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()
        if number == len(lines) - 1:
            process.stdin.close()
    if not lines:
        process.stdin.close()
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return Finished(await process.wait(), (said + out).decode(), err.decode())


async def _question(stdout: asyncio.StreamReader) -> bytes:
    """Read to the end of a prompt, which ends with a colon and no new line."""
    said = b""
    while not said.endswith(b"): "):
        piece = await stdout.read(4096)
        assert piece, said
        said += piece
    return said
