"""The ranges that settings keep to."""

from modules.configuration.errors import ConfigError


def at_least(bound: int, key: str, value: float) -> None:
    if value < bound:
        raise ConfigError(key, f"{value} is below {bound}")
