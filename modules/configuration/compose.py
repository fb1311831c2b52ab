"""Composes a configuration from conf/ and overrides: resolved, plain and checked, without importing torch."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from modules.configuration.errors import KeyFault, UserError
from modules.configuration.explain import HYDRA_ERRORS, explain
from modules.configuration.loader import load, origins
from modules.configuration.names import check_name, suggest
from modules.configuration.origins import CONF
from modules.configuration.phases import SETTABLE, named_phases
from modules.configuration.settings import Settings, read
from modules.configuration.targets import check_targets, own_allowed_targets


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
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except HYDRA_ERRORS as error:
        raise explain(error, overrides, conf) from error
    assert isinstance(plain, dict)
    named = {str(key): value for key, value in plain.items()}
    try:
        check(named, conf)
    except KeyFault as fault:
        raise _placed(fault, overrides, conf) from None
    return named


def _placed(fault: KeyFault, overrides: list[str], conf: Path) -> UserError:
    place = origins(overrides, conf).of(fault.key)
    section = fault.key.partition(".")[0]
    if "recipe/" in place and any(override.startswith(f"{section}=") for override in overrides):
        mend = f"The recipe sets it for another {section}: take it away with ~{fault.key}"
        return UserError(f"{place}: {fault.problem}", mend)
    return fault.at(place)


def check(config: dict[str, Any], conf: Path = CONF) -> Settings:
    """Checks a plain configuration: its targets first, then every key, type and range.

    Raises:
        KeyFault: naming the key at fault.
    """
    check_targets("", config)
    phases = config.get("phases", {})
    # What a phase sets is judged where it is merged: alone it is no configuration.
    settings = read(Settings, config | ({"phases": {}} if isinstance(phases, dict) else {}))
    if settings.allowed_targets != own_allowed_targets(conf / "config.yaml"):
        mend = "Edit that file if you trust the code"
        raise KeyFault("allowed_targets", "may be set in conf/config.yaml alone", mend)
    _check_phases(config)
    return settings


def _check_phases(config: dict[str, Any]) -> None:
    """Every phase is a whole configuration, with what it sets otherwise in its place."""
    phases = config["phases"] or {}
    for name, changes in phases.items():
        try:
            check_name("phase", name)
        except UserError as error:
            raise KeyFault(f"phases.{name}", error.problem, error.mend) from None
        if not isinstance(changes, dict):
            raise KeyFault(f"phases.{name}", f"{changes!r} where a mapping is expected")
        if wrong := [key for key in changes if key not in SETTABLE]:
            mend = suggest(wrong[0], SETTABLE) or f"It can set {', '.join(SETTABLE)}"
            raise KeyFault(f"phases.{name}.{wrong[0]}", f"a phase cannot set {wrong[0]}", mend)
    if phases and "." in config["name"]:
        raise KeyFault("name", f"{config['name']} has a dot, which stands before the name of a phase")
    for name, phase in named_phases(config).items():
        try:
            read(Settings, phase)
        except KeyFault as fault:
            raise KeyFault(f"phases.{name}.{fault.key}", fault.found, fault.mend) from None


def recipes(conf: Path = CONF) -> list[str]:
    """The names of all recipes."""
    return sorted(path.stem for path in (conf / "recipe").glob("*.yaml"))
