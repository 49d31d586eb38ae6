"""The mask itself, and the way rules are applied until nothing is left to hide."""

from collections.abc import Callable


MASK = "[masked]"
_ROUNDS = 10


def settled(text: str, *hide: Callable[[str], str]) -> str:
    """Repeat until the text stands still, since hiding one thing may uncover another.

    That makes a second call a no-op. Each round only removes, so the bound is for
    texts built to last.
    """
    text = encodable(text)
    for _ in range(_ROUNDS):
        before = text
        for step in hide:
            text = step(text)
        if text == before:
            break
    return text


def encodable(text: str) -> str:
    """Replace halves of surrogate pairs, which RE2 cannot be given."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
