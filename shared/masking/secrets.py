"""Secrets: keys, tokens and passwords, by their shape, their name or their look.

Every pattern is RE2's, whose time is linear in the text: the text is hostile. In a
rule's pattern the first group is what stays before the secret, and the first of the
others that matched is the secret, which a judge may still acquit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import re2

from shared.masking import shapes
from shared.masking.looks import (
    is_bare_secret,
    is_mixed,
    is_number,
    is_opaque,
    is_path,
    is_placeholder,
    is_quoted_secret,
    without_closers,
)
from shared.masking.mask import MASK, encodable


class Finding(NamedTuple):
    before: str
    value: str
    after: str
    """The one character that follows; none at the end."""

    @property
    def is_strong(self) -> bool:
        return _STRONG.search(self.before) is not None

    @property
    def is_quoted(self) -> bool:
        return self.before[-1:] in _QUOTES


class Rule(NamedTuple):
    pattern: Any
    is_secret: Callable[[Finding], bool]


_SCHEMES = ("bearer", "basic", "token", "digest", "apikey", "negotiate")
_QUOTES = ('"', "'", "`")
_SCALARS = (str, int, float)
_STRONG = re2.compile(f"(?i){shapes.STRONG}")
_NAME = re2.compile(f"(?i){shapes.NAME}|{shapes.HEADER}")
_VARIABLE = re2.compile(shapes.VARIABLE)
_HEADER = re2.compile(f"(?i){shapes.HEADER}")
_OPTION = re2.compile(rf"(?i)--?(?:{shapes.NAME})")
_HEX = re2.compile("[0-9a-fA-F:]+")


def _always(_: Finding) -> bool:
    return True


def _assigned(found: Finding) -> bool:
    if found.is_quoted:
        return is_quoted_secret(found.value, is_strong=found.is_strong)
    is_code = found.before.endswith("= ") and not found.before.isupper()
    ends_line = found.after in "\r\n&" and not is_code
    return is_bare_secret(found.value, is_strong=found.is_strong, ends_line=ends_line)


def _enclosed(found: Finding) -> bool:
    return is_quoted_secret(found.value, is_strong=found.is_strong)


def _exported(found: Finding) -> bool:
    if is_number(found.value):
        return _assigned(found)
    if is_path(found.value):
        return False
    return found.is_strong or not found.value.isalpha()


def _flagged(found: Finding) -> bool:
    if found.value.startswith("-"):
        return False
    return found.is_strong or is_mixed(found.value) or is_opaque(found.value)


def _passed(found: Finding) -> bool:
    return is_opaque(found.value) or (found.is_strong and is_mixed(found.value))


def _commanded(found: Finding) -> bool:
    return not is_number(found.value)


def _of_a_database(found: Finding) -> bool:
    line = found.before.strip() + found.value
    return _HEX.fullmatch(line) is None  # as an address is, of IPv6 for one


def _authorizes(found: Finding) -> bool:
    has_scheme = found.before.rstrip().lower().endswith(_SCHEMES)
    return has_scheme or is_mixed(found.value) or is_opaque(found.value)


def _bears(found: Finding) -> bool:
    word = found.value.rstrip(".")
    return not (word.istitle() or word.islower() or word.isupper()) or is_mixed(word)


def _looks_random(found: Finding) -> bool:
    return is_opaque(found.value)


_JUDGES: tuple[tuple[str, Callable[[Finding], bool]], ...] = (
    (f"()({shapes.PRIVATE_KEY})", _always),
    (shapes.WEBHOOK, _always),
    (f"()({shapes.VENDOR})", _always),
    (shapes.URL_LOGIN, _always),
    (shapes.AUTHORIZATION, _authorizes),
    (shapes.BEARER, _bears),
    (shapes.COOKIE, _always),
    (shapes.ENVIRONMENT, _exported),
    (shapes.NAMED, _enclosed),
    (shapes.ASSIGNMENT, _assigned),
    (shapes.FLAG, _flagged),
    (shapes.PAIR, _passed),
    (shapes.PROSE, _passed),
    (shapes.ELEMENT, _enclosed),
    (shapes.SQL, _always),
    (shapes.NETRC, _always),
    (shapes.PGPASS, _of_a_database),
    *((command, _commanded) for command in shapes.COMMANDS),
    (shapes.LONG, _looks_random),
)
_RULES = tuple(Rule(re2.compile(pattern), judge) for pattern, judge in _JUDGES)
_ANY = re2.compile("|".join(f"(?:{pattern})" for pattern, _ in _JUDGES))
"""One look instead of many: most texts hold nothing that any rule would consider."""


def hide_secrets(text: str) -> str:
    if _ANY.search(text) is None:
        return text
    for rule in _RULES:
        text = _apply(rule, text)
    return text


def is_secret_name(name: str) -> bool:
    name = encodable(name)
    return bool(_NAME.fullmatch(name) or _VARIABLE.fullmatch(name))


def precedes_a_secret(flag: Any, value: Any) -> bool:
    """Say whether it is the argument of an option such as `--password`."""
    if type(flag) is not str or type(value) is not str or value.startswith("-"):
        return False
    is_option = _OPTION.fullmatch(encodable(flag)) is not None
    return is_option and value != "" and not is_placeholder(value)


def names_a_secret(key: str, value: Any) -> bool:
    """Say whether a value stands under a key such as `api_key` or `"password"`."""
    if type(value) not in _SCALARS or not is_secret_name(key):
        return False
    key = encodable(key)
    is_strong = bool(_STRONG.search(key) or _HEADER.fullmatch(key))
    if type(value) is not str:
        return is_strong
    return not is_placeholder(value) and is_quoted_secret(value, is_strong=is_strong)


def _apply(rule: Rule, text: str) -> str:
    pieces: list[str] = []
    end = 0
    for match in rule.pattern.finditer(text):
        found, start = _finding(match, text)
        if found and rule.is_secret(found):
            pieces += (text[end:start], MASK)
            end = start + len(found.value)
    return "".join((*pieces, text[end:])) if pieces else text


def _finding(match: Any, text: str) -> tuple[Finding | None, int]:
    spans = (match.span(group) for group in range(2, match.re.groups + 1))
    start, stop = next((span for span in spans if span[0] >= 0), (-1, -1))
    value = text[start:stop]
    if start < 0 or is_placeholder(value):
        return None, start
    before = text[match.start() : start]
    if before[-1:] not in _QUOTES:
        value = without_closers(value)
    if is_placeholder(value):
        return None, start
    stop = start + len(value)
    return Finding(before, value, text[stop : stop + 1]), start
