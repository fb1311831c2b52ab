"""The keywords that a class or function takes, read from its source: nothing is imported."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modules.configuration.static_analysis.definitions import (
    ROOT,
    Definition,
    Module,
    look_up,
)


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
