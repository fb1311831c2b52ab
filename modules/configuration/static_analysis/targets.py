"""Builds objects from nodes with `_target_`, and refuses every class that a configuration may not name.

A configuration can come from someone else, and a `_target_` is code that will run. So a target must begin
with an allowed prefix, and the source that defines it must lie under one too: `modules.x.os.system` begins
well, but `system` is defined in `os`. Both are judged on source text before anything is imported.

Prefixes of one's own are read from the root file conf/config.yaml and from nowhere else: neither a recipe,
nor an override, nor a plan from outside can allow itself anything.

`build` means what hydra.utils.instantiate means with `_convert_: all`, on plain containers: objects such as a
model's parameters pass through untouched. Positional `_args_` and Hydra's other marks are refused.
"""

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modules.configuration.bounded_yaml import read_bounded
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.static_analysis.definitions import ROOT, Definition, define
from modules.configuration.static_analysis.node_check import missing_target
from modules.configuration.static_analysis.value_check import MARKS

OWN_PREFIXES = ("modules.", "pipelines.", "torch.nn.", "torch.optim.", "pytorch_lightning.callbacks.")
# Elsewhere a function is a verb, which writes files or starts programs; a class only becomes an object.
WITH_FUNCTIONS = ("modules.bricks.", "modules.models.")
ROOT_FILE = ROOT / "conf" / "config.yaml"


def allowed_prefixes(root_file: Path = ROOT_FILE) -> tuple[str, ...]:
    """The prefixes that a `_target_` may begin with: the yard's own and those in the root file.

    Raises:
        UserError: the root file's `allowed_targets` is no list of package names.
    """
    return _allowed_prefixes(root_file, root_file.stat().st_mtime_ns if root_file.is_file() else 0)


@functools.lru_cache(maxsize=16)
def _allowed_prefixes(root_file: Path, _mtime_ns: int) -> tuple[str, ...]:
    return (*OWN_PREFIXES, *(f"{prefix.rstrip('.')}." for prefix in own_allowed_targets(root_file)))


def own_allowed_targets(root_file: Path = ROOT_FILE) -> list[str]:
    """`allowed_targets` as the root file has it.

    Raises:
        UserError: it is no list of package names.
    """
    prefixes = root_list("allowed_targets", root_file)
    for prefix in prefixes:
        if not isinstance(prefix, str) or not all(p.isidentifier() for p in prefix.rstrip(".").split(".")):
            raise UserError(
                f"{root_file}: allowed_targets: {prefix!r} is no package name",
                "Write a list such as [my_package.models.]",
            )
    return prefixes


def root_list(key: str, root_file: Path = ROOT_FILE) -> list[Any]:
    """A list of the root file, which decides what every other file may do; nobody else can lengthen it."""
    if not root_file.is_file():
        return []
    return list(_root_list(key, root_file, root_file.stat().st_mtime_ns))


@functools.lru_cache(maxsize=16)
def _root_list(key: str, root_file: Path, _mtime_ns: int) -> tuple[Any, ...]:
    found = (yaml.safe_load(read_bounded(root_file)) or {}).get(key) or []
    return tuple(found) if isinstance(found, list) else (found,)


def check_targets(key: str, value: Any, allowed: tuple[str, ...] | None = None) -> None:
    """Refuses a value that holds, at any depth, a target which may not be built. Imports nothing.

    Args:
        key: where the value stands, for the message.
        value: any plain value.
        allowed: prefixes that a target may begin with; by default `allowed_prefixes()`.

    Raises:
        ConfigError: a target is not allowed, does not exist, or a mark is unknown.
    """
    prefixes = allowed_prefixes() if allowed is None else allowed
    for place, node in nodes(key, value):
        _definition(place, node, prefixes)
        for name in node:
            if str(name).startswith("_") and str(name).endswith("_") and name not in MARKS:
                raise ConfigError(
                    f"{place}.{name}", f"{name} is not allowed beside _target_", "Name each keyword"
                )
        if not isinstance(node.get("_partial_", False), bool):
            raise ConfigError(f"{place}._partial_", f"{node['_partial_']!r} where true or false is expected")


def build(node: dict[str, Any], **extra: Any) -> Any:
    """Builds the object that a node describes, the nodes inside it first.

    Args:
        node: a plain mapping with `_target_` and keywords; `_partial_: true` leaves the call for later.
        extra: more keywords of the outermost call, passed as they are.

    Raises:
        UserError: a target is not allowed or cannot be built from its keywords.
    """
    if not isinstance(node, dict) or "_target_" not in node:
        raise UserError(f"{node!r} names no class to build", "It needs a _target_")
    check_targets("", node)
    return _build(node, allowed_prefixes(), extra)


def _build(value: Any, prefixes: tuple[str, ...], extra: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_build(item, prefixes, {}) for item in value]
    if not isinstance(value, dict):
        return value
    keywords = {name: _build(item, prefixes, {}) for name, item in value.items() if name not in MARKS} | extra
    if "_target_" not in value:
        return keywords
    target = _import(_definition("", value, prefixes), value["_target_"], prefixes)
    if value.get("_partial_", False):
        return functools.partial(target, **keywords)
    try:
        return target(**keywords)
    except (TypeError, ValueError) as error:
        raise UserError(f"{value['_target_']} cannot be built: {_one_line(error)}") from error


def nodes(key: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with `_target_` in a value, whatever key or list it hides under."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield key, value
        for name, item in value.items():
            yield from nodes(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from nodes(f"{key}[{number}]", item)


def _definition(key: str, node: dict[str, Any], prefixes: tuple[str, ...]) -> Definition:
    target = node["_target_"]
    place = f"{key}._target_" if key else "_target_"
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError(place, f"{target!r} is no dotted name of a class")
    hint = f"Allowed are {', '.join(prefixes)} and what allowed_targets in conf/config.yaml adds"
    if not target.startswith(prefixes):
        raise ConfigError(place, f"{target} is not allowed", hint)
    if any(part.startswith("_") for part in target.split(".")):
        raise ConfigError(place, f"{target} is private")
    definition = define(target)
    if definition is None or isinstance(definition.node, ast.expr):
        raise missing_target(key, target)
    if not f"{definition.module.name}.".startswith(prefixes):
        real = f"{definition.module.name}.{definition.name}"
        raise ConfigError(place, f"{target} is really {real}: not allowed", hint)
    builders = (*WITH_FUNCTIONS, *prefixes[len(OWN_PREFIXES) :])
    if not isinstance(definition.node, ast.ClassDef) and not target.startswith(builders):
        raise ConfigError(
            place, f"{target} is a function", f"Name a class, or a function of {', '.join(builders)}"
        )
    return definition


def _import(definition: Definition, target: str, prefixes: tuple[str, ...]) -> Any:
    """Imports what the source showed, and makes sure that it is what came."""
    try:
        found = getattr(importlib.import_module(definition.module.name), definition.name, None)
    except ImportError as error:
        raise UserError(f"{target} cannot be imported: {_one_line(error)}") from error
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not f"{found.__module__}.".startswith(
        prefixes
    ):
        raise UserError(f"{target} is not the class or function that its source shows", "Name another one")
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
