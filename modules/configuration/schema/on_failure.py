"""`runtime.on_failure`: a command, or the address of a webhook, that is told of a training that failed."""

import shlex
from urllib.parse import urlsplit

from modules.configuration.errors import ConfigError

SCHEMES = ("http", "https")


def is_address(on_failure: str) -> bool:
    """Whether this is an address; everything else is a command."""
    return "://" in on_failure.split(maxsplit=1)[0]


def check_on_failure(on_failure: str) -> None:
    """Refuses what is neither a command nor an address of http(s).

    Raises:
        ConfigError: so it is.
    """
    if not on_failure.strip() or not on_failure.isprintable():
        hint = "Give a command or an address of http(s)://, or null"
        raise ConfigError("on_failure", f"{on_failure!r} is neither a command nor an address", hint)
    try:
        if is_address(on_failure):
            _check_address(on_failure)
        else:
            shlex.split(on_failure)
    except ValueError as error:
        raise ConfigError("on_failure", f"{on_failure!r} cannot be read: {error}", "Look at quotes") from None


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in SCHEMES:
        hint = "It can be http or https; all else is done by a command"
        raise ConfigError("on_failure", f"{address!r} is of another scheme", hint)
    _ = parts.port  # raises where it is no number
    if not parts.hostname or len(address.split()) > 1:
        raise ConfigError("on_failure", f"{address!r} names no host", "Write http://host:port/path")
