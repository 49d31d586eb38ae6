"""Looks: whether a value that stands where a secret might is one, or is just code.

Doubt counts against the value, except where it would make ordinary code unreadable:
types, variables, calls, references and paths are kept. No pattern here can match
the same text in two ways, which keeps Python's own engine linear as well.
"""

import re

from shared.masking.mask import MASK


_SAID = """
a an and any are array auto bool boolean bytes char class const default dict disabled
empty enabled false file final float for from function has if include inherit int
integer is it missing must name never nil no none not null number object of off
omit on option optional or private public read readonly required return same-origin
self set should str string text the this to true tuple type undefined unknown use uuid
value varchar void with write yes you your
"""
_WORDS = frozenset(_SAID.split())
"""What stands for a value without being one: types, constants, the next word."""
_CLOSERS = ",;:.)}]>"
_PLACEHOLDER = re.compile(
    r"(?i)\$\{?\w+\}?|\$?\{\{?[\w.$ ()-]*\}?\}|\$\(\w[^()]*\)|<[a-z _./-]*>"
    r"|%\(?\w*\)?[sd]?|%\w+%|#[0-9a-f]{3,8}|[*•.…_x-]+"
    r"|(?:process\.env|os\.environ|import\.meta|env|secrets|config)\b[\w.\[\]\"'()]*"
)
_CODE = re.compile(
    r"[*&!]*[A-Za-z_$][\w$]*(?:(?:\.|::|->|\?\.|!\.)[A-Za-z_$][\w$]*)*(?:[(\[{|?!].*)?"
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_SECRET_WORD = re.compile(r"(?i)pass|pwd|token|secret|key|cred|auth|hash|sig|jwt|dsn")
_EXCLAIMED = re.compile(r"([A-Za-z_][\w$]*)[!?|](?![.?|]).*")
_NUMBER = re.compile(r"[-+]?[\d._,:]+[a-z]{0,2}")
_PATH = re.compile(r"(?:\.{0,2}|…|~[\w.-]*|[A-Za-z]:)[/\\].*")
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]+|[0-9A-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SEPARATOR = re.compile(r"[-_+/=.]+")
_DIGIT = re.compile("[0-9]")
_WORD = re.compile(r"\w")
_LETTER = re.compile("[A-Za-z]")
_LIST = re.compile("[,;]")
_OPENERS = ("", "(", "[", "{")

_LONGEST_PLACEHOLDER = 80
_MIN_SEGMENT = 12
_MIN_PIECES = 5
_MAX_PIECE = 3.3
_MANY_NUMBERS = 3
"""Random letters and digits change kind every second or third character, words rarely do."""
_MAX_DIGEST = 64
_MIN_WEAK = 8
_MIN_MIXED = 4


def without_closers(value: str) -> str:
    """Leave the punctuation behind a bare value where it is."""
    core = value.rstrip(_CLOSERS)
    closes_a_mask = core.endswith(MASK[:-1]) and value[len(core) :].startswith("]")
    return core + "]" if closes_a_mask else core


def is_placeholder(value: str) -> bool:
    """Say whether it stands for a value that is elsewhere."""
    if len(value) > _LONGEST_PLACEHOLDER:
        return False
    return (
        value == MASK
        or value.lower() in _WORDS
        or _PLACEHOLDER.fullmatch(value) is not None
    )


def is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None


def is_path(value: str) -> bool:
    return _PATH.fullmatch(value) is not None and not is_opaque(value)


def is_mixed(value: str) -> bool:
    """Say whether it has both letters and digits, as few words do."""
    return _DIGIT.search(value) is not None and _LETTER.search(value) is not None


def is_opaque(value: str) -> bool:
    """Say whether any stretch of it looks random, digests aside."""
    segments = _SEPARATOR.split(_UUID.sub("", value))
    if len(segments) * _MIN_SEGMENT <= len(value):  # base64 has few, names have many
        words = (segment for segment in segments if not _HEX.fullmatch(segment))
        segments.append("".join(words))
    return any(map(_is_random, segments))


def _is_random(segment: str) -> bool:
    if len(segment) < _MIN_SEGMENT:
        return False
    if _HEX.fullmatch(segment):
        return len(segment) > _MAX_DIGEST and not segment.isdigit()
    pieces = _PIECE.findall(segment)
    numbers = sum(map(str.isdigit, pieces))
    longest = _MAX_PIECE + (numbers >= _MANY_NUMBERS)
    return len(pieces) >= _MIN_PIECES and len(segment) < longest * len(pieces)


def is_quoted_secret(value: str, *, is_strong: bool) -> bool:
    # What a quote that closes looks like to a rule that takes it for an opening one.
    if value.startswith(")") or not _WORD.search(value) or is_path(value):
        return False
    is_text = " " in value or "." in value or len(value) < _MIN_MIXED
    return is_strong or not is_text or is_opaque(value)


def is_bare_secret(value: str, *, is_strong: bool, ends_line: bool) -> bool:
    """Judge an unquoted value, which in code is rather a variable, a type or a call."""
    head = _LIST.split(value, maxsplit=1)[0]
    if is_opaque(head):
        return True
    if head[:1] in _OPENERS or is_placeholder(head) or is_path(head):
        return False
    if is_number(head):
        return is_strong and len(head) >= _MIN_MIXED
    if _NAME.fullmatch(head):
        return _is_secret_word(head, is_strong=is_strong, ends_line=ends_line)
    if _CODE.fullmatch(head):
        return is_strong and _is_exclaimed(head)
    return len(head) >= _MIN_MIXED and (is_mixed(head) or is_strong)


def _is_secret_word(word: str, *, is_strong: bool, ends_line: bool) -> bool:
    if is_mixed(word):
        return is_strong or len(word) >= _MIN_WEAK
    if "$" in word[1:]:
        return is_strong
    if _SECRET_WORD.search(word):  # a variable named for what it holds
        return False
    return is_strong and ends_line and word.islower()


def _is_exclaimed(value: str) -> bool:
    """Say whether it is rather `MyPassw0rd!` than the type `String!`."""
    match = _EXCLAIMED.fullmatch(value)
    if match is None or is_placeholder(match[1]):
        return False
    return is_mixed(match[1]) or _SECRET_WORD.search(match[1]) is not None
