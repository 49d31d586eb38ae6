"""What a message says, whichever of three shapes a client gave its text. Pure."""

from typing import Any

import msgspec

from shared.requests import MessageView, PartView


CALLS = frozenset({"tool-call", "tool_call", "tool-use", "tool_use", "tool-invocation"})
RESULTS = frozenset({"tool-result", "tool_result"})


def plain(content: Any) -> str:
    """Read text that is a string, or under `text` or `content`."""
    if isinstance(content, dict):
        content = content.get("text", content.get("content"))
    return content if isinstance(content, str) else ""


def said(message: MessageView) -> str:
    """Return the text parts, else the message's own text."""
    spoken = [plain(part.content) for part in message.parts if part.type == "text"]
    return "\n".join(filter(None, spoken)) or message.text_content or ""


def shown(content: Any) -> str:
    """Write any content for a reader: text as it is, all else as indented JSON."""
    text = plain(content)
    if text or content in (None, ""):
        return text
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def call_of(part: PartView) -> tuple[str, str]:
    """Return a tool call's name and its arguments."""
    content = part.content if isinstance(part.content, dict) else {}
    name = part.tool_name or content.get("toolName") or content.get("name") or "tool"
    for key in ("args", "arguments", "input"):
        if key in content:
            return str(name), shown(content[key])
    return str(name), "" if content.keys() <= {"toolName", "name"} else shown(content)


def result_of(part: PartView) -> str:
    content = part.content
    if isinstance(content, dict):
        for key in ("result", "output"):
            if key in content:
                return shown(content[key])
    return shown(content)
