"""What is worked out where a client said nothing: titles, languages, tool calls. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec


TITLE_LENGTH = 80
TITLE_SHORTEST = 40
_HEAD = 4000
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*([A-Za-z][\w+#.-]*)", re.MULTILINE)
_INJECTED = re.compile(r"<([a-z]+[-_][\w-]*)>.*?</\1>", re.DOTALL)
"""Agents' own tags have compound names: system-reminder, command_name; HTML's do not."""
_ALIASES = {
    "py": "python", "python3": "python", "js": "javascript", "mjs": "javascript",
    "cjs": "javascript", "jsx": "javascript", "node": "javascript",
    "ts": "typescript", "tsx": "typescript", "rs": "rust", "rb": "ruby",
    "golang": "go", "sh": "shell", "bash": "shell", "zsh": "shell",
    "console": "shell", "shell-session": "shell", "yml": "yaml", "c++": "cpp",
    "cc": "cpp", "cxx": "cpp", "hpp": "cpp", "h": "c", "cs": "csharp",
    "c#": "csharp", "kt": "kotlin", "ex": "elixir", "exs": "elixir",
    "hs": "haskell", "pl": "perl", "md": "markdown", "ps1": "powershell",
    "htm": "html", "scss": "css", "tf": "terraform",
}  # fmt: skip
_EXTENSIONS = {
    "py", "js", "mjs", "cjs", "jsx", "ts", "tsx", "rs", "rb", "go", "java", "c", "h",
    "cc", "cpp", "cxx", "hpp", "cs", "kt", "swift", "php", "scala", "ex", "exs", "hs",
    "pl", "lua", "r", "sql", "sh", "bash", "zsh", "ps1", "html", "htm", "css", "scss",
    "vue", "svelte", "zig", "dart", "tf", "clj", "erl", "ml",
}  # fmt: skip
_NOT_CODE = {"text", "txt", "plaintext", "output", "log", "diff", "json", "markdown"}
_PATH_KEYS = ("file_path", "filePath", "path", "filename", "notebook_path")

_CALL_TYPES = {
    "tool-call",
    "tool_call",
    "tool_use",
    "tool-use",
    "function_call",
    "tool",
}
_RESULT_TYPES = {"tool-result", "tool_result", "function_call_output", "tool-response"}
_CALL_IDS = ("toolCallId", "tool_call_id", "callId", "call_id", "callID", "tool_use_id")
_OWN_IDS = ("toolu_", "call_", "fc_")


def title_of(text: str) -> str | None:
    """Make a title of a user's first words, cut at a word; None if there are none.

    What agents inject in angle brackets is not the user's own.
    """
    own = " ".join(_INJECTED.sub(" ", text[:_HEAD]).split())
    if len(own) > 1 and own[0] == own[-1] and own[0] in "\"'":
        own = own[1:-1].strip()
    if len(own) <= TITLE_LENGTH:
        return own or None
    cut = own[:TITLE_LENGTH]
    space = cut.rfind(" ")
    return (cut[:space] if space >= TITLE_SHORTEST else cut).rstrip(" ,;:") + "…"


def languages_in(text: str) -> list[str]:
    """Name the languages of the fenced code in a text, one entry per block."""
    if "```" not in text and "~~~" not in text:
        return []
    opened = [_language(tag) for tag in _FENCE.findall(text)]
    return [language for language in opened if language not in _NOT_CODE]


def _language(tag: str) -> str:
    tag = tag.lower()
    return _ALIASES.get(tag, tag)


def language_of_path(path: str) -> str | None:
    extension = path.rpartition(".")[2].lower()
    return _language(extension) if extension in _EXTENSIONS else None


_OPENCODE_ID = re.compile(r"msg_([0-9a-f]{12})[0-9A-Za-z]{14}")
_CLAUDE_ID = re.compile(r".+-(?:user|tool)-(\d{13})")
_ID_PERIOD_MS = 2**36
_COUNTER_BITS = 12
_AHEAD_MS = 60_000


def time_in_id(external_id: str, *, heard: int) -> int | None:
    """Read when a message was made from an id that says so; None for any other.

    OpenCode's ids begin with 48 bits of milliseconds times 4,096 and a counter
    (opencode `packages/opencode/src/id/id.ts`), of which 36 bits of time are left;
    the Claude Code plugin ends its own with the milliseconds.
    """
    if found := _OPENCODE_ID.fullmatch(external_id):
        low = int(found[1], 16) >> _COUNTER_BITS
        latest = heard + _AHEAD_MS
        return latest - (latest - low) % _ID_PERIOD_MS
    if found := _CLAUDE_ID.fullmatch(external_id):
        made = int(found[1])
        return made if made <= heard + _AHEAD_MS else None
    return None


class Part(msgspec.Struct, frozen=True):
    """One part as it is stored, with what identifies it as half of a tool call."""

    type: str
    content: Any
    tool_name: str | None = None
    call_id: str | None = None
    is_call: bool = False
    is_result: bool = False


def read_parts(parts: list[dict[str, Any]], *, message_external_id: str) -> list[Part]:
    """Recognise calls and results in the shapes the plugins send.

    Where a plugin gives no call id, its message id is one if it looks like one, and
    a lone result in the message of a lone call belongs to that call.
    """
    read = [_read_part(part) for part in parts]
    if not any(part.is_call or part.is_result for part in read):
        return read
    own = message_external_id if message_external_id.startswith(_OWN_IDS) else None
    calls = [part for part in read if part.is_call]
    if own is None and len(calls) == 1:
        own = calls[0].call_id or message_external_id
    return [
        msgspec.structs.replace(part, call_id=own)
        if (part.is_call or part.is_result) and part.call_id is None and own
        else part
        for part in read
    ]


def _read_part(part: dict[str, Any]) -> Part:
    type_ = str(part.get("type", "unknown"))
    content = part["content"] if set(part) == {"type", "content"} else part
    inner = part.get("content")
    fields = {**part, **inner} if isinstance(inner, dict) else part
    is_call = type_ in _CALL_TYPES
    is_result = type_ in _RESULT_TYPES
    if not (is_call or is_result):
        return Part(type_, content)
    return Part(
        type_,
        content,
        tool_name=_text(fields, ("toolName", "tool_name", "name", "tool")),
        call_id=_text(fields, _CALL_IDS)
        or (_text(fields, ("id",)) if is_call else None),
        is_call=is_call,
        is_result=is_result,
    )


def _text(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def languages_of_parts(parts: list[Part]) -> list[str]:
    """Name the languages of the files that tool calls touch, and of fenced code."""
    found: list[str] = []
    for part in parts:
        if part.is_call and isinstance(part.content, dict):
            found += _touched(part.content)
        elif part.type == "text":
            found += languages_in(text_of(part))
    return found


def _touched(content: dict[str, Any]) -> list[str]:
    for arguments in (content.get("args"), content.get("input"), content):
        if isinstance(arguments, dict):
            path = _text(arguments, _PATH_KEYS)
            if path:
                language = language_of_path(path)
                return [language] if language else []
    return []


def text_of(part: Part) -> str:
    """Read a text part, whose content is a string, or an object with text or content."""
    content = part.content
    if isinstance(content, dict):
        content = content.get("text", content.get("content"))
    return content if isinstance(content, str) else ""
