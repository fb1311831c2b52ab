"""Checks every node with `_target_` in a configuration against the constructor it names."""

import ast
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modules.configuration.errors import ConfigError
from modules.configuration.names import nearest
from modules.configuration.renamed import hint_for_target
from modules.configuration.static_analysis.definitions import ROOT, define, module_path, names_in, read_module
from modules.configuration.static_analysis.value_check import check_call


def check_node(
    key: str, value: Any, given: Mapping[str, Collection[str]] | None = None, root: Path = ROOT
) -> None:
    """Checks a value and every node with `_target_` inside it against the constructors they name.

    Args:
        key: where the value stands in the configuration.
        value: any plain value.
        given: the keywords that the program adds, by the key of the node.
        root: the folder of the packages modules and pipelines.

    Raises:
        ConfigError: a target does not exist, or its keys do not fit it.
    """
    if isinstance(value, list):
        for number, item in enumerate(value):
            check_node(f"{key}[{number}]", item, given, root)
    if not isinstance(value, dict):
        return
    if "_target_" in value:
        definition = define(value["_target_"], root)
        if definition is None or isinstance(definition.node, ast.expr):
            raise missing_target(key, value["_target_"], root)
        added = (given or {}).get(key, ())
        check_call(key, definition, value, added, value.get("_partial_", False), root)
    for name, item in value.items():
        check_node(f"{key}.{name}" if key else str(name), item, given, root)


def missing_target(key: str, target: str, root: Path = ROOT) -> ConfigError:
    """The fault of a target that no source defines, with the nearest name that one does."""
    if hint := hint_for_target(target):
        return ConfigError(f"{key}._target_", f"there is no {target}", hint)
    parent, _, name = target.rpartition(".")
    module = read_module(parent, root)
    if module is not None:
        near = nearest(name, names_in(module, root))
        hint = f"Did you mean {parent}.{near}?" if near else ""
        return ConfigError(f"{key}._target_", f"{parent} defines no class or function {name!r}", hint)
    while parent and module_path(parent, root) is None:
        parent, _, name = parent.rpartition(".")
    package = module_path(parent, root) if parent else None
    if package is None or package.name != "__init__.py":
        return ConfigError(f"{key}._target_", f"there is no {target}")
    stems = {p.stem for p in package.parent.glob("*.py")} | {
        p.parent.name for p in package.parent.glob("*/__init__.py")
    }
    near = nearest(name, stems - {"__init__"})
    hint = f"Did you mean {parent}.{near}?" if near else ""
    return ConfigError(f"{key}._target_", f"{target}: {parent} has no module {name!r}", hint)
