"""What a stranger may see of a session: no secrets, and no absolute paths.

Loud on purpose: a masked word costs a reader little, a leaked password a lot. It is
made for public pages, where the words around a secret may stay, and it hides neither
names nor hosts. Doing it twice changes nothing more.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from shared.masking.mask import MASK, settled
from shared.masking.paths import hide_paths
from shared.masking.secrets import (
    hide_secrets,
    is_secret_name,
    names_a_secret,
    precedes_a_secret,
)


__all__ = ["MASK", "mask_paths", "mask_secrets", "masked"]

_NAMES = ("name", "key", "variable", "Name", "Key", "Variable")
_VALUES = frozenset(("value", "val", "Value", "Val"))

Names: TypeAlias = tuple[str, ...]


def mask_secrets(text: str) -> str:
    return settled(text, hide_secrets)


def mask_paths(text: str) -> str:
    return settled(text, hide_paths)


def masked(value: Any) -> Any:
    """Mask every text in a JSON value, its keys included.

    Under a key that names a secret every text goes, whatever it looks like, and so
    does the value beside such a name, or behind such an option. Two keys that are the
    same once masked leave only the later entry.
    """
    return _within((), value)


def _within(names: Names, value: Any) -> Any:
    """Mask what stands below those names, each that of a secret."""
    match value:
        case str():
            if any(names_a_secret(name, value) for name in names):
                return MASK
            return settled(value, hide_secrets, hide_paths)
        case list():
            return [
                MASK if precedes_a_secret(flag, item) else _within(names, item)
                for flag, item in zip([None, *value], value, strict=False)
            ]
        case dict():
            beside = _secret_names(value.get(key) for key in _NAMES)
            return {
                masked(key): _entry(
                    names, (key, *beside) if key in _VALUES else (key,), item
                )
                for key, item in value.items()
            }
        case _:
            return value


def _entry(names: Names, own: Names, value: Any) -> Any:
    if type(value) is list and _secret_names(own):
        return [_entry(names, own, item) for item in value]
    if any(names_a_secret(name, value) for name in own):
        return MASK
    return _within(names + _secret_names(own), value)


def _secret_names(names: Iterable[Any]) -> Names:
    return tuple(name for name in names if type(name) is str and is_secret_name(name))
