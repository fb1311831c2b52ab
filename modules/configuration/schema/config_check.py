"""Checks a whole resolved configuration: targets, keys, types, ranges, and every phase; imports no torch."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import check_name, suggest
from modules.configuration.schema.expected_settings import ExpectedSettings
from modules.configuration.schema.optimizer_settings import check_optimizer, of_one_node
from modules.configuration.schema.phases import SETTABLE, named_phases
from modules.configuration.schema.settings import GIVEN, Settings, read
from modules.configuration.static_analysis.class_attributes import evaluator_metrics
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.static_analysis.kinds import check_kinds
from modules.configuration.static_analysis.node_check import check_node
from modules.configuration.static_analysis.targets import check_targets, own_allowed_targets, root_list

_ROOT_ALONE = {
    "allowed_targets": "Edit that file if you trust the code",
    "allowed_environment": "Edit that file if the variable is no secret",
}


def check(config: dict[str, Any], conf: Path = ROOT / "conf") -> Settings:
    """Checks a plain configuration: its targets first, then every key, type and range.

    Raises:
        ConfigError: naming the key at fault.
    """
    check_targets("", config)
    check_kinds(config)
    phases = config.get("phases", {})
    # What a phase sets is judged where it is merged: alone it is no configuration.
    try:
        settings = read(Settings, config | ({"phases": {}} if isinstance(phases, dict) else {}))
    except ConfigError as fault:
        first = of_one_node(_of_ragged_data(fault, config), config)
        section = first.key.partition(".")[0]
        others = {other.key.partition(".")[0]: other for other in reversed([*_faults(config)])}
        first.others = [other for name, other in sorted(others.items()) if name != section]
        raise first from None
    own_allowed_targets(conf / "config.yaml")
    for key, hint in _ROOT_ALONE.items():
        if getattr(settings, key) != root_list(key, conf / "config.yaml"):
            raise ConfigError(key, "may be set in conf/config.yaml alone", hint)
    _check_expected(settings.evaluation, settings.expected)
    _check_phases(config)
    return settings


def _faults(config: dict[str, Any]) -> Iterator[ConfigError]:
    """The first fault of each section that can be checked by itself."""
    hints = get_type_hints(Settings)
    for name, value in config.items():
        try:
            if is_dataclass(hints.get(name)):
                read(hints[name], value, name)
            elif isinstance(value, dict) and "_target_" in value:
                check_node(name, value, GIVEN)
                if name == "optimizer":
                    check_optimizer(value, lr_decay=1.0)
            elif name == "evaluation" and isinstance(value, list):
                nodes = [node for node in value if isinstance(node, dict) and "_target_" in node]
                _check_expected(nodes, read(ExpectedSettings, config.get("expected", {}), "expected"))
        except ConfigError as fault:
            yield fault


def _check_expected(evaluation: list[dict[str, Any]], expected: ExpectedSettings) -> None:
    """What is expected is measured by one evaluator, in the direction that is better there."""
    owners: dict[str, tuple[str, str]] = {}
    for node in evaluation:
        for metric, mode in evaluator_metrics(node["_target_"]).items():
            if metric in owners:
                both = f"{owners[metric][0]} and {node['_target_']}"
                raise ConfigError("evaluation", f"{both} both measure {metric}", "Leave one of them out")
            owners[metric] = (node["_target_"], mode)
    if expected.metric not in owners:
        hint = suggest(expected.metric, owners) or "List an evaluator in evaluation"
        raise ConfigError("expected.metric", f"no evaluator measures {expected.metric!r}", hint)
    mode = owners[expected.metric][1]
    if mode != expected.mode:
        key, other = ("at_least", "at_most") if mode == "min" else ("at_most", "at_least")
        better = "smaller" if mode == "min" else "larger"
        hint = f"Write {other}: {expected.bound:g}"
        raise ConfigError(
            f"expected.{key}", f"of {expected.metric} the {better} value is the better one", hint
        )


def _of_ragged_data(fault: ConfigError, config: dict[str, Any]) -> ConfigError:
    """A fault with the hint that a size differs from sample to sample, where that is what is at fault."""
    sizes = config.get("data", {}).get("typical_sizes") or {}
    name = next((size for size in sizes if fault.found.startswith(f"{size!r} (str) where int")), None)
    if name is None or not fault.key.startswith("model."):
        return fault
    hint = f"The data's {name} differs from sample to sample: take a model of any size, or data of one size"
    return ConfigError(fault.key, f"{name!r} where a fixed size is expected", hint)


def _check_phases(config: dict[str, Any]) -> None:
    """Every phase is a whole configuration, with what it sets otherwise in its place."""
    phases = config["phases"] or {}
    for name, changes in phases.items():
        try:
            check_name("phase", name)
        except UserError as error:
            raise ConfigError(f"phases.{name}", error.problem, error.hint) from None
        if not isinstance(changes, dict):
            raise ConfigError(f"phases.{name}", f"{changes!r} where a mapping is expected")
        if wrong := [key for key in changes if key not in SETTABLE]:
            hint = suggest(wrong[0], SETTABLE) or f"It can set {', '.join(SETTABLE)}"
            raise ConfigError(f"phases.{name}.{wrong[0]}", f"a phase cannot set {wrong[0]}", hint)
    if phases and "." in config["name"]:
        raise ConfigError("name", f"{config['name']} has a dot, which stands before the name of a phase")
    for name, phase in named_phases(config).items():
        try:
            read(Settings, phase)
        except ConfigError as fault:
            raise ConfigError(f"phases.{name}.{fault.key}", fault.found, fault.hint) from None
