"""What a stranger may see of a session: no secrets, and no absolute paths.

Loud on purpose: a masked word costs a reader little, a leaked password a lot. It is
made for public pages, where the words around a secret may stay, and it hides neither
names nor hosts. Doing it twice changes nothing more.
"""

from typing import Any

from shared.masking.mask import MASK, settled
from shared.masking.paths import hide_paths
from shared.masking.secrets import hide_secrets, names_a_secret


__all__ = ["MASK", "mask_paths", "mask_secrets", "masked"]


def mask_secrets(text: str) -> str:
    return settled(text, hide_secrets)


def mask_paths(text: str) -> str:
    return settled(text, hide_paths)


def masked(value: Any) -> Any:
    """Mask every text in a JSON value, its keys included.

    Under a key that names a secret the value goes, whatever it looks like. Two keys
    that are the same once masked leave only the later entry.
    """
    match value:
        case str():
            return settled(value, hide_secrets, hide_paths)
        case list():
            return [masked(item) for item in value]
        case dict():
            return {masked(key): _entry(key, item) for key, item in value.items()}
        case _:
            return value


def _entry(key: str, value: Any) -> Any:
    if type(value) is list:
        return [_entry(key, item) for item in value]
    if names_a_secret(key, value):
        return MASK
    return masked(value)
