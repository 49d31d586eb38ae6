r"""Paths: a home becomes `~`, another absolute path keeps its last two segments.

`/home/x/app/a.py` is shown as `~/app/a.py`, `C:\Users\x\a.py` as `~\a.py`,
`/var/www/site/index.php` as `…/site/index.php` and `/srv/x` as `…/x`. Relative paths
and URLs stay; what a web site calls a path is hidden as well.
"""

import re
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import re2


KEPT = 2
"""The last segments, which say what a file is and not where its owner keeps it."""

_HOMES = frozenset(("home", "Users"))
_ABOVE_HOMES = frozenset(
    ("Data", "System", "Volumes", "export", "host", "mnt", "usr", "var")
)
_WINDOWS_HOMES = frozenset(("home", "home$", "users", "documents and settings"))

_SLASH = r"(?:\\+|/)"
_SEGMENT = r"[^\s/\\\"'`<>|,;:=&#!]"
_FIRST = r"[^\s/\\\"'`<>|,;:=&#!([{]"
_USER = r"[^\s/\\\"'`<>|,;:?*]+(?: [^\s/\\\"'`<>|,;:?*]+){0,2}"
_SCHEME = r"\b[A-Za-z][A-Za-z0-9+.-]*:"

_NOT_A_PATH = (
    rf"[~…](?:{_SLASH}{_SEGMENT}*)+"
    r"|\\+[nrt]|(?:\x1b|\\+(?:u001b|x1b|033|e))\[[0-9;]*[A-Za-z]|</\w+"
    # A file's URL, like a development server's, leads to a path; others are none.
    rf"|\bfile:(?://)?(?:localhost)?|{_SCHEME}//(?:file\b|[^\s\"'`<>=%]*?/@fs\b)"
    rf"|{_SCHEME}//[^\s\"'`<>=%]*"
)
_DRIVE = (
    rf"(?:/|\b)[A-Za-z]:(?:{_SLASH}(?i:users|documents and settings){_SLASH}{_USER}\\+"
    rf"(?:{_SEGMENT}+{_SLASH}?)*|(?:{_SLASH}{_SEGMENT}+)+{_SLASH}?)"
)
_SHARE = r"\B\\\\+[A-Za-z0-9][\w.$-]+(?:\\+[\w.$-]{2,}){2,}"
_PATH = re2.compile(
    rf"({_NOT_A_PATH})|({_DRIVE}|{_SHARE})|{_FIRST}*(?:\\*/{_SEGMENT}*)+"
)
_ENCODED = re2.compile(r"(?i)[\w.~…%+-]*%(?:25)?(?:2F|5C)[\w.~…%+-]*")
_SLUG = re2.compile(
    r"(^|[/\\\s\"'`:=(])(?:-(?:mnt-[a-z]-|var-|private-)?|[A-Za-z]--)"
    r"(?:Users|home)-[A-Za-z0-9_.]+"
)
_SEPARATOR = re.compile(r"(\\*/|\\+)")
_OF_SOMEONE = re.compile(r"~[A-Za-z_][\w.-]*")
_GLUED = re.compile(r"|[-+@]|-[A-Za-z]|[A-Za-z]\w*__|(?![\w…])[^\x00-\x7f]")
"""What may stand before an absolute path without a space, as in `-I/usr/include`."""
_QUOTES = ("'", '"', "`")
_CLOSERS = ")]}."
_DEEPEST_HOME = 4

Steps: TypeAlias = list[tuple[str, str]]
"""A path taken apart: each separator with the segment behind it."""


def hide_paths(text: str) -> str:
    if "%" in text:
        text = _ENCODED.sub(_encoded, text)
    if "/" in text or "\\" in text:
        text = _PATH.sub(_path, text)
    return _SLUG.sub(lambda match: f"{match[1]}~", text) if "-" in text else text


def _encoded(match: Any) -> str:
    plain = unquote(unquote(match[0]))
    hidden = _PATH.sub(_path, plain)
    if hidden == plain:
        return str(match[0])
    return quote(hidden, safe="~").replace(quote("…"), "…")


def _path(match: Any) -> str:
    found: str = match[0]
    if match[1]:
        return found
    first, *rest = _SEPARATOR.split(found)
    steps = [*zip(rest[::2], rest[1::2], strict=True)]
    if match[2]:
        return _of_windows(steps) or found
    if _OF_SOMEONE.fullmatch(first):
        return "~" + _joined(steps)
    if not _GLUED.fullmatch(first):
        return found
    before = match.string[max(match.start() - 1, 0) : match.start()]
    return first + _of_unix(steps, is_import=first == "@" and before in _QUOTES)


def _of_windows(steps: Steps) -> str | None:
    r"""Read `C:\…`, `\\server\share\…` or the `/C:/…` of a file's URL."""
    leading = "/" if steps[0][1].endswith(":") else ""
    steps = _without_empty(steps[len(leading) :])
    for at, (_, name) in enumerate(steps[:_DEEPEST_HOME]):
        if name.lower() in _WINDOWS_HOMES and at + 1 < len(steps):
            return leading + _below_home(steps, user=at + 1)
    end = _end(steps)
    return leading + end if end else None


def _of_unix(steps: Steps, *, is_import: bool) -> str:
    """Hide a home and, unless `@` says that it is an import, any other root."""
    named = _without_empty(steps)
    user = _user(named)
    if user is not None:
        return _below_home(named, user=user)
    is_named = any(name[:1].isalnum() for _, name in named[:-1])  # unlike `/[a-z]/g`
    return (not is_import and is_named and _end(named)) or _joined(steps)


def _user(steps: Steps) -> int | None:
    """Find the segment that ends a home: `/root`, `/home/x`, `/mnt/c/Users/x`."""
    for at, (_, name) in enumerate(steps[:_DEEPEST_HOME]):
        if at == 0 and name.rstrip(_CLOSERS) == "root":
            return 0
        if name in _HOMES:
            return at + 1 if at + 1 < len(steps) and steps[at + 1][1] else None
        if name not in _ABOVE_HOMES and len(name) > 1:
            return None
    return None


def _below_home(steps: Steps, *, user: int) -> str:
    name = steps[user][1]
    closers = name[len(name.rstrip(_CLOSERS)) :]
    return "~" + closers + _joined(steps[user + 1 :])


def _end(steps: Steps) -> str | None:
    """Keep the last segments, and never the first of several."""
    names = len(steps) - (steps[-1][1] == "")
    if names < KEPT:
        return None
    return "…" + _joined(steps[max(names - KEPT, 1) :])


def _without_empty(steps: Steps) -> Steps:
    """Pass over doubled separators; one at the end stays."""
    return [step for step in steps[:-1] if step[1]] + steps[-1:]


def _joined(steps: Steps) -> str:
    return "".join(separator + name for separator, name in steps)
