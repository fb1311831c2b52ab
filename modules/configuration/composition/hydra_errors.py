"""Hydra's and OmegaConf's refusals in one line: file or override, key, and what was probably meant."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from modules.configuration.composition.conf_contents import names
from modules.configuration.composition.hydra_loader import before_overrides, key_locations, load
from modules.configuration.composition.key_locations import shown
from modules.configuration.errors import UserError
from modules.configuration.names import nearest, nearest_key, suggest
from modules.configuration.renamed import hint_for_choice, hint_for_key

# Hydra lets a bare ValueError through for an override such as model=null, a TypeError for model=[{a: b}].
HYDRA_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError, ValueError, TypeError)
_RESOLVERS = ("length", "oc.env", "oc.decode", "oc.select", "oc.create")


def explain(error: Exception, overrides: list[str], conf: Path) -> UserError:
    """What the user can fix about an error that Hydra or OmegaConf raised while composing `overrides`."""
    key = str(getattr(error, "full_key", None) or getattr(error.__cause__, "full_key", None) or "")
    match error:
        case OverrideParseException(override=override):
            return UserError(f"override {override!r} cannot be read", _grammar_hint(override, conf))
        case MissingConfigException():
            return _missing_file(error, conf)
        case yaml.MarkedYAMLError(problem_mark=mark) if mark is not None:
            return UserError(f"{shown(Path(mark.name))}:{mark.line + 1}: no valid YAML: {error.problem}")
        case TypeError():
            return _no_choice(error, overrides, conf)
        case RecursionError():
            return UserError("an interpolation ${...} leads back to itself")
        case OmegaConfBaseException() if not isinstance(error, ConfigKeyError):
            return _unresolved(error, key, overrides, conf)
    return _refused_override(error, key, overrides, conf)


def _no_choice(error: Exception, overrides: list[str], conf: Path) -> UserError:
    """A group that is given something else than the name of a file."""
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        if (conf / group).is_dir() and not re.match(r"(?!(null|true|false)$)[A-Za-z_/]", value):
            return UserError(
                f"override {override!r}: {group} takes the name of a file of conf/{group}/",
                f"Write what you mean into a file there, or change its keys one by one: {group}.key=value",
            )
    return UserError(f"{_first_line(error)} ({' '.join(overrides)})")


def _unresolved(error: OmegaConfBaseException, key: str, overrides: list[str], conf: Path) -> UserError:
    place = f"{_origin(key, overrides, conf)}: {key}" if key else "configuration"
    match error:
        case MissingMandatoryValue():
            return UserError(f"{place} is missing (???)", f"Set it: {key}=...")
        case InterpolationKeyError():
            wanted = "".join(re.findall(r"'([^']*)'", str(error))[:1])
            near = nearest_key(wanted, _keys(overrides, conf))
            hint = f"Did you mean ${{{near}}}?" if near else ""
            return UserError(f"{place}: ${{{wanted}}} leads to nothing", hint)
        case UnsupportedInterpolationType():
            name = str(error).split("type ", 1)[-1].split()[0]
            return UserError(f"{place}: there is no resolver ${{{name}:...}}", suggest(name, _RESOLVERS))
    return UserError(f"{place}: {_first_line(error)}")


def _refused_override(error: Exception, key: str, overrides: list[str], conf: Path) -> UserError:
    text = _first_line(error)
    place = re.match(r"In '(.*?)': ", text)
    where = f"{shown(conf / place.group(1))}.yaml: " if place and place.group(1) != "config" else ""
    text = text[place.end() :] if place else text
    found = re.search(r"'([^']+)'", text)
    name = found.group(1) if found else key
    if text.startswith("Could not override"):
        if name.startswith("hydra"):
            return UserError(f"{where}Hydra has no {name!r}", "Show its keys: --cfg hydra")
        if "@recipe." in name:
            hint = "Its first line has to be: # @package _global_"
            return UserError(f"{where}the recipe's keys would lie below recipe", hint)
        if hint := hint_for_key(name):
            return UserError(f"{where}there is no {name!r} to override", hint)
        if name == "backbone":
            return UserError("a backbone is a part of a model", "Choose it with backbone@model.backbone=...")
        keys = [*_groups(conf), *_keys(overrides, conf)]
        near = nearest_key(name, keys)
        if near and near != name:
            return UserError(f"{where}there is no {name!r} to override", f"Did you mean {near}?")
        hint = f"Add a key that the file leaves to its default with +{name}=..." if "." in name else ""
        return UserError(f"{where}there is no {name!r} to override", hint)
    if text.startswith("Could not append"):
        return UserError(f"{name!r} is there already", f"Leave the + out: {name}=...")
    if text.startswith("Could not delete"):
        near = nearest_key(name, _keys(overrides, conf))
        if near == name:
            return UserError(f"{name!r} is null already", f"Leave ~{name} out")
        return UserError(f"there is no {name!r} to delete", f"Did you mean {near}?" if near else "")
    if text.startswith("Ambiguous value"):
        hint = "A list is key=[a,b]; a sweep over both needs -m; a text is \"key='a,b'\""
        return UserError(f"override {name!r} has several values", hint)
    if text.startswith("Sweep parameters"):
        return UserError(f"{name} is a sweep", "Add -m, and hydra/sweeper=ray to search an interval")
    if text.startswith("Config group override"):
        return _no_choice(error, overrides, conf)
    if "more than once" in text:
        return UserError(text, "Leave the + out")
    if key:
        return UserError(f"{_origin(key, overrides, conf)}: {key}: {text}")
    return UserError(f"{text} ({' '.join(overrides)})" if overrides else text)


def _missing_file(error: MissingConfigException, conf: Path) -> UserError:
    place = re.match(r"In '(.*?)': ", str(error))
    wanted = error.missing_cfg_file or "".join(re.findall(r"'([^']+)'", _first_line(error))[-1:])
    group, name = _split_group(str(wanted), conf)
    file = conf / f"{place.group(1)}.yaml" if place and place.group(1) != "config" else None
    where = f"{shown(file)}: " if file and file.is_file() else _chosen_in(group, name, conf)
    options = [
        path.relative_to(conf / group).with_suffix("").as_posix() for path in (conf / group).rglob("*.yaml")
    ]
    options = options or list(error.options or [])
    if group == "recipe":
        options = [path.rpartition("/")[2] for path in options]
    if not group or not options:
        return UserError(f"{where}there is no file conf/{wanted}.yaml")
    hint = hint_for_choice(group, name) or suggest(name, options) or f"There is: {', '.join(sorted(options))}"
    return UserError(f"{where}there is no {group} {name!r}", hint)


def _chosen_in(group: str, name: str, conf: Path) -> str:
    """The file and line whose defaults list chooses a file, or nothing where the command line did."""
    choice = re.compile(rf"\s*- (override )?/?{re.escape(group)}(@\S+)?: {re.escape(name)}\s*(#.*)?")
    for path in sorted(conf.rglob("*.yaml")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if choice.fullmatch(line):
                return f"{shown(path)}:{number}: "
    return ""


def _split_group(wanted: str, conf: Path) -> tuple[str, str]:
    """`model/lenet` -> (`model`, `lenet`); a group is a folder right below conf or conf/hydra."""
    parts = wanted.split("/")
    count = 2 if parts[0] == "hydra" else 1
    return "/".join(parts[:count]), "/".join(parts[count:])


def _grammar_hint(override: str, conf: Path) -> str:
    if "=" not in override:
        if recipe := nearest(override, names("recipe", conf)):
            return f"Did you mean recipe={recipe}?"
        return f"Write {override}=value" if re.fullmatch(r"[\w./@-]+", override) else "Write key=value"
    key, _, value = override.partition("=")
    odd = re.search(r"[^\w\s/\\+.$%*@:?|,()\[\]{}'\"<>-]", value, re.ASCII)
    if odd and "'" not in value:
        return f"The character {odd[0]} needs quotes: \"{key}='{value}'\""
    return "Write key=value; quote a value with spaces, commas or brackets: \"key='a, b'\""


def _origin(key: str, overrides: list[str], conf: Path) -> str:
    try:
        return key_locations(overrides, conf).of(key)
    except HYDRA_ERRORS:
        return "configuration"


def _groups(conf: Path) -> list[str]:
    return [path.name for path in conf.iterdir() if path.is_dir()]


def _keys(overrides: list[str], conf: Path) -> list[str]:
    """The keys that the files of the same composition hold."""
    known = before_overrides(conf)
    groups = _groups(conf)
    choices = [override for override in overrides if override.lstrip("+~").partition("=")[0] in groups]
    for chosen in (choices, []):
        if known:
            break
        with contextlib.suppress(*HYDRA_ERRORS):
            load(chosen, conf)
        known = before_overrides(conf)
    return list(_paths(known))


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if not str(name).startswith("_"):
                yield f"{prefix}{name}"
                yield from _paths(item, f"{prefix}{name}.")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].strip() or type(error).__name__
