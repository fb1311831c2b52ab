"""Checks a whole resolved configuration: targets, keys, types, ranges, and every phase; imports no torch."""

from pathlib import Path
from typing import Any

from modules.configuration.errors import KeyFault, UserError
from modules.configuration.names import check_name, suggest
from modules.configuration.schema.phases import SETTABLE, named_phases
from modules.configuration.schema.settings import Settings, read
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.static_analysis.targets import check_targets, own_allowed_targets


def check(config: dict[str, Any], conf: Path = ROOT / "conf") -> Settings:
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
