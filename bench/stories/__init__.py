"""The demo's history: ten sessions of two agents, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


Agent = Literal["claude-code", "opencode"]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool called, and what came of it."""

    tool: str
    args: dict[str, Any]
    result: str
    took_ms: int = 200


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a person or a model said."""

    role: Literal["user", "assistant"]
    text: str
    tokens: tuple[int, int] = (0, 0)
    after_s: int = 20
    """Seconds since the line before."""
    model: str = ""


Line = Call | Said


def asked(text: str, *, after_s: int = 60) -> Said:
    return Said("user", text, after_s=after_s)


def told(
    text: str, prompt: int, completion: int, *, after_s: int = 15, model: str = ""
) -> Said:
    return Said("assistant", text, (prompt, completion), after_s, model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One session, and how long before now it began."""

    id: str
    agent: Agent
    title: str
    project: str
    model: str
    provider: str
    days_ago: float
    cost: float
    lines: Sequence[Line] = field(repr=False)
    end_reason: str = "prompt_input_exit"

    @property
    def path(self) -> str:
        return f"/home/dev/{self.project}"

    @property
    def tokens(self) -> tuple[int, int]:
        said = [line.tokens for line in self.lines if isinstance(line, Said)]
        return sum(prompt for prompt, _ in said), sum(done for _, done in said)
