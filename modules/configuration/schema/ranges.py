"""Ranges of values, and names that may be those of files."""

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import check_name


def at_least(lowest: int, key: str, value: float) -> None:
    """Refuses a value below the lowest allowed one."""
    if value < lowest:
        raise ConfigError(key, f"{value} is below {lowest}")


def named(key: str, kind: str, value: str) -> None:
    """Refuses a name that `check_name` refuses."""
    try:
        check_name(kind, value)
    except UserError as error:
        raise ConfigError(key, error.problem, error.hint) from None
