"""The ranges that settings keep to."""

from modules.configuration.errors import KeyFault


def at_least(bound: int, key: str, value: float) -> None:
    if value < bound:
        raise KeyFault(key, f"{value} is below {bound}")
