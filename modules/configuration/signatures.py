"""Checks a node's keys and values against the constructor it names, read from source: nothing is imported."""

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.configuration.annotations import check_value
from modules.configuration.definitions import (
    ROOT,
    Definition,
    Module,
    define,
    look_up,
    module_path,
    names_in,
    read_module,
)
from modules.configuration.errors import KeyFault
from modules.configuration.names import nearest, suggest

MARKS = ("_target_", "_partial_")


@dataclass(frozen=True)
class Parameter:
    """One keyword of a constructor."""

    name: str
    annotation: ast.expr | None
    required: bool


@dataclass(frozen=True)
class Signature:
    """The keywords a class or function takes, and the module where they are written."""

    parameters: dict[str, Parameter]
    takes_any: bool
    module: Module


def is_dataclass(definition: Definition) -> bool:
    """Whether a class is decorated as a dataclass."""
    if not isinstance(definition.node, ast.ClassDef):
        return False
    decorators = (d.func if isinstance(d, ast.Call) else d for d in definition.node.decorator_list)
    return any(ast.unparse(decorator).endswith("dataclass") for decorator in decorators)


def signature(definition: Definition, root: Path = ROOT) -> Signature | None:
    """The signature of a class or function, own or inherited; None where sources do not show it."""
    node, module = definition.node, definition.module
    if isinstance(node, ast.FunctionDef):
        return _signature(node, module, skip=0)
    if not isinstance(node, ast.ClassDef):
        return None
    if is_dataclass(definition):
        return Signature(dict(_fields(node)), False, module)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _signature(statement, module, skip=1)
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        found = _base(name, module, root)
        inherited = None if found is None or found.node is node else signature(found, root)
        if inherited is not None:
            return inherited
    return Signature({}, False, module) if not node.bases else None


def _base(name: ast.expr, module: Module, root: Path) -> Definition | None:
    if isinstance(name, ast.Name):
        found = look_up(name.id, module, root)
    elif isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
        owner = look_up(name.value.id, module, root)
        found = look_up(name.attr, owner, root) if isinstance(owner, Module) else None
    else:
        found = None
    return found if isinstance(found, Definition) else None


def _signature(function: ast.FunctionDef, module: Module, skip: int) -> Signature:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first_optional = len(positional) - len(arguments.defaults)
    found = {
        _yaml_name(argument.arg): Parameter(argument.arg, argument.annotation, place < first_optional)
        for place, argument in enumerate(positional)
        if place >= skip
    }
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[_yaml_name(argument.arg)] = Parameter(argument.arg, argument.annotation, default is None)
    return Signature(found, arguments.kwarg is not None, module)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, Parameter]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            yield _yaml_name(name), Parameter(name, statement.annotation, statement.value is None)


def _yaml_name(name: str) -> str:
    """A trailing underscore stands for a word that Python keeps: `from_` is the key `from`."""
    return name.removesuffix("_")


def check_call(
    key: str,
    definition: Definition,
    values: dict[str, Any],
    given: Collection[str] = (),
    partial: bool = False,
    root: Path = ROOT,
) -> None:
    """Checks that a class or function can be called with these keywords.

    Args:
        key: where the values stand in the configuration.
        definition: what is called.
        values: its keywords.
        given: keywords that the program adds.
        partial: whether missing keywords may come later.
        root: the folder of the packages modules and pipelines.

    Raises:
        KeyFault: a key is unknown or missing, or a value is of the wrong type.
    """
    known = signature(definition, root)
    if known is None:
        return
    prefix = f"{key}." if key else ""
    open_to_yaml = [name for name in known.parameters if name not in given]
    for name, value in values.items():
        if name in MARKS:
            continue
        if name in given:
            raise KeyFault(f"{prefix}{name}", "is set by the program", "Take the key away")
        parameter = known.parameters.get(name)
        if parameter is None and not known.takes_any:
            raise KeyFault(
                f"{prefix}{name}", f"{definition.name} has no {name!r}", suggest(name, open_to_yaml)
            )
        if parameter is not None and parameter.annotation is not None:
            check_value(f"{prefix}{name}", value, parameter.annotation, known.module, root)
    for name, parameter in known.parameters.items():
        if parameter.required and name not in values and name not in given and not partial:
            kind = f" ({ast.unparse(parameter.annotation)})" if parameter.annotation else ""
            raise KeyFault(f"{prefix}{name}", f"is missing: {definition.name} needs it{kind}")


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
        KeyFault: a target does not exist, or its keys do not fit it.
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


def missing_target(key: str, target: str, root: Path = ROOT) -> KeyFault:
    """The fault of a target that no source defines, with the nearest name that one does."""
    parent, _, name = target.rpartition(".")
    module = read_module(parent, root)
    if module is not None:
        near = nearest(name, names_in(module, root))
        mend = f"Did you mean {parent}.{near}?" if near else ""
        return KeyFault(f"{key}._target_", f"{parent} defines no class or function {name!r}", mend)
    while parent and module_path(parent, root) is None:
        parent, _, name = parent.rpartition(".")
    package = module_path(parent, root) if parent else None
    if package is None or package.name != "__init__.py":
        return KeyFault(f"{key}._target_", f"there is no {target}")
    stems = {p.stem for p in package.parent.glob("*.py")} | {
        p.parent.name for p in package.parent.glob("*/__init__.py")
    }
    near = nearest(name, stems - {"__init__"})
    mend = f"Did you mean {parent}.{near}?" if near else ""
    return KeyFault(f"{key}._target_", f"{target}: {parent} has no module {name!r}", mend)
