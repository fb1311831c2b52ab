"""Composes a configuration from conf/ and overrides: resolved, plain and checked, without importing torch."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from modules.configuration.composition.hydra_errors import HYDRA_ERRORS, explain
from modules.configuration.composition.hydra_loader import key_locations, load
from modules.configuration.composition.interpolations import begin
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.schema.config_check import check


def compose(overrides: list[str], conf: Path = CONF) -> dict[str, Any]:
    """Composes the root configuration with overrides such as `recipe=lenet` or `trainer.max_epochs=2`.

    Returns:
        Plain containers, every interpolation resolved and every key checked.

    Raises:
        UserError: naming the file and key at fault.
    """
    try:
        config = load(overrides, conf)
    except HYDRA_ERRORS as error:
        raise explain(error, overrides, conf) from error
    return resolve(config, overrides, conf)


def resolve(config: DictConfig, overrides: list[str], conf: Path = CONF) -> dict[str, Any]:
    """Makes a composed configuration plain, and checks it.

    Args:
        config: as Hydra composed it.
        overrides: what it was composed with, for messages.
        conf: the folder of the configuration.

    Raises:
        UserError: naming the file and key at fault.
    """
    begin()
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except HYDRA_ERRORS as error:
        raise explain(error, overrides, conf) from error
    assert isinstance(plain, dict)
    named = {str(key): value for key, value in plain.items()}
    try:
        check(named, conf)
        _check_name(named["name"], overrides)
    except ConfigError as fault:
        raise _placed(fault, overrides, conf) from None
    return named


def _check_name(name: str, overrides: list[str]) -> None:
    """A recipe's name is its file's, by which the pipeline knows it; a command line may give another."""
    keys = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    stem = keys.get("recipe", "").rpartition("/")[2]
    if stem and "name" not in keys and name != stem:
        raise ConfigError("name", f"{name!r} in the file {stem}.yaml", f"Write name: {stem}")


def _placed(fault: ConfigError, overrides: list[str], conf: Path) -> UserError:
    others = [_placed(one, overrides, conf) for one in fault.others if isinstance(one, ConfigError)]
    place = key_locations(overrides, conf).of(fault.key)
    section = fault.key.partition(".")[0]
    is_chosen = fault.key != section and any(override.startswith(f"{section}=") for override in overrides)
    if "recipe/" in place and is_chosen:
        hint = f"The recipe sets it for another {section}: take it away with ~{fault.key}"
        return UserError(f"{place}: {fault.problem}", hint, others)
    return UserError(f"{place}: {fault.problem}", fault.hint, others)
