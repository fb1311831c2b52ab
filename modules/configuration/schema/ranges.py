"""Ranges of values, and names that may be those of files."""

import math

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import check_name

HIGHEST = {
    "max_epochs": 10**7,
    "batch_size": 2**24,
    "num_threads": 4096,
    "num_loader_workers": 256,
    "num_workers": 4096,
    "cpus_per_worker": 4096,
    "max_restarts": 10_000,
    "max_retries": 10_000,
    "max_concurrent": 4096,
    "num_trials": 10**6,
    "drain_timeout_s": 86_400,
    "system_metrics_every_s": 86_400,
}
"""Of each key: above all use, and below what would take the machine down. A plan may come from anyone."""
LARGEST = 2**31 - 1
"""Of a key that is not among them."""


def at_least(lowest: int, key: str, value: float) -> None:
    """Refuses a value below the lowest allowed one or above the key's highest, and NaN."""
    if value < lowest:
        raise ConfigError(key, f"{value} is below {lowest}")
    if not value <= (highest := HIGHEST.get(key, LARGEST)):
        raise ConfigError(key, f"{value} is above {highest}, the most that it may be")


def finite(key: str, value: float | None) -> None:
    """Refuses NaN and infinity."""
    if value is not None and not math.isfinite(value):
        raise ConfigError(key, f"{value} is no number to compare with")


def named(key: str, kind: str, value: str) -> None:
    """Refuses a name that `check_name` refuses."""
    try:
        check_name(kind, value)
    except UserError as error:
        raise ConfigError(key, error.problem, error.hint) from None
