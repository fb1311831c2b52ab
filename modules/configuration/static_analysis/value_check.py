"""Checks values from YAML against a signature and its type annotations: on syntax trees, nothing is imported.

Understood are the plain types, None, unions, Literal, lists, sequences, tuples, mappings, aliases of these,
and dataclasses. What else a value may be (a tensor, a callable) is left to the constructor.
"""

import ast
from collections.abc import Collection
from pathlib import Path
from typing import Any

from modules.configuration.errors import ConfigError
from modules.configuration.names import nearest, suggest
from modules.configuration.renamed import hint_for_key, hint_for_keyword
from modules.configuration.static_analysis.definitions import ROOT, Definition, Module, look_up
from modules.configuration.static_analysis.signatures import is_dataclass, signature

_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "Path": (str,),
    "list": (list,),
    "tuple": (list,),
    "Sequence": (list,),
    "dict": (dict,),
    "Mapping": (dict,),
}
MARKS = ("_target_", "_partial_")
"""Keys of a node that are no keyword of what it builds."""
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "set", "frozenset"}
_MAPPINGS = {"dict", "Dict", "Mapping"}


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
        ConfigError: a key is unknown or missing, or a value is of the wrong type.
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
            raise ConfigError(f"{prefix}{name}", "is set by the program", "Take the key away")
        parameter = known.parameters.get(name)
        if parameter is None and not known.takes_any:
            raise ConfigError(
                f"{prefix}{name}",
                f"{definition.name} has no {name!r}",
                hint_for_key(f"{prefix}{name}")
                or hint_for_keyword(definition.name, name)
                or suggest(name, open_to_yaml),
            )
        if parameter is not None and parameter.annotation is not None:
            check_value(f"{prefix}{name}", value, parameter.annotation, known.module, root)
    for name, parameter in known.parameters.items():
        if parameter.required and name not in values and name not in given and not partial:
            kind = f" ({ast.unparse(parameter.annotation)})" if parameter.annotation else ""
            raise ConfigError(f"{prefix}{name}", f"is missing: {definition.name} needs it{kind}")


def check_value(key: str, value: Any, annotation: ast.expr, module: Module, root: Path = ROOT) -> None:
    """Checks one value against the annotation of the parameter it is for.

    Args:
        key: the value's key, for the message.
        value: a plain value: None, bool, int, float, str, list or dict.
        annotation: what the parameter says it is.
        module: where the annotation stands: its names are looked up there.
        root: the folder of the packages modules and pipelines.

    Raises:
        ConfigError: the value does not fit.
    """
    match annotation:
        case ast.Constant(value=None):
            _require(value is None, key, value, "null")
        case ast.Constant(value=str(text)):
            check_value(key, value, ast.parse(text, mode="eval").body, module, root)
        case ast.BinOp(op=ast.BitOr()):
            _check_union(key, value, _alternatives(annotation), annotation, module, root)
        case ast.Subscript(value=base, slice=inner):
            _check_generic(key, value, _last_name(base), inner, annotation, module, root)
        case ast.Name() | ast.Attribute():
            _check_name(key, value, annotation, module, root)


def _check_name(
    key: str, value: Any, annotation: ast.Name | ast.Attribute, module: Module, root: Path
) -> None:
    name = _last_name(annotation)
    if name in _PLAIN:
        # True is an int to Python, but nobody means it so.
        fits = isinstance(value, _PLAIN[name]) and (name == "bool" or not isinstance(value, bool))
        _require(fits, key, value, _spoken(annotation))
    elif name == "Tensor":
        _require(isinstance(value, dict), key, value, "a node with _target_")
    elif name not in ("Any", "object"):
        found = _resolve(annotation, module, root)
        if not isinstance(found, Definition):
            return
        if isinstance(found.node, ast.expr):
            check_value(key, value, found.node, found.module, root)
        elif isinstance(found.node, ast.ClassDef):
            _check_class(key, value, found, root)


def _check_class(key: str, value: Any, definition: Definition, root: Path) -> None:
    if isinstance(value, dict) and "_target_" in value:
        return  # checked as a node of its own
    if is_dataclass(definition):
        _require(isinstance(value, dict), key, value, f"a mapping ({definition.name})")
        check_call(key, definition, value, root=root)
    else:
        _require(False, key, value, f"a node with _target_ (a {definition.name})")


def _check_union(
    key: str, value: Any, kinds: list[ast.expr], whole: ast.expr, module: Module, root: Path
) -> None:
    faults = []
    for kind in kinds:
        try:
            check_value(key, value, kind, module, root)
        except ConfigError as fault:
            faults.append(fault)
        else:
            return
    # A fault deeper inside says more than "fits none of these".
    deepest = max(faults, key=lambda fault: len(fault.key))
    if len(deepest.key) > len(key):
        raise deepest
    _require(False, key, value, _spoken(whole))


def _check_generic(
    key: str, value: Any, base: str, inner: ast.expr, whole: ast.expr, module: Module, root: Path
) -> None:
    items = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    if base == "Optional":
        _check_union(key, value, [*items, ast.Constant(None)], whole, module, root)
    elif base == "Union":
        _check_union(key, value, items, whole, module, root)
    elif base in ("Annotated", "Final", "Required", "NotRequired"):
        check_value(key, value, items[0], module, root)
    elif base == "Literal":
        choices = [item.value for item in items if isinstance(item, ast.Constant)]
        if not any(type(choice) is type(value) and choice == value for choice in choices):
            spoken = ", ".join(map(str, choices))
            near = nearest(str(value), map(str, choices))
            raise ConfigError(key, f"{value!r} is none of {spoken}", f"Did you mean {near}?" if near else "")
    elif base in _LISTS or base in ("tuple", "Tuple"):
        _require(isinstance(value, list), key, value, _spoken(whole))
        _check_items(key, value, base, items, whole, module, root)
    elif base in _MAPPINGS and len(items) == 2:
        _require(isinstance(value, dict), key, value, _spoken(whole))
        for name, item in value.items():
            check_value(f"{key}.{name}", name, items[0], module, root)
            check_value(f"{key}.{name}", item, items[1], module, root)


def _check_items(
    key: str, value: list, base: str, items: list[ast.expr], whole: ast.expr, module: Module, root: Path
) -> None:
    fixed = base.lower() == "tuple" and not (
        len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is ...
    )
    if fixed and len(value) != len(items):
        raise ConfigError(key, f"{len(value)} values where {len(items)} are expected ({_spoken(whole)})")
    for number, item in enumerate(value):
        check_value(f"{key}[{number}]", item, items[number] if fixed else items[0], module, root)


def _require(fits: bool, key: str, value: Any, expected: str) -> None:
    if fits:
        return
    kind = "null" if value is None else f"{value!r} ({type(value).__name__})"
    hint = ""
    if isinstance(value, str) and expected in ("int", "float", "bool"):
        hint = f"Write {value} without quotes" if value.replace(".", "", 1).isdigit() else ""
    elif value == "None" and "null" in expected:
        hint = "Write null"
    elif expected == "str" and isinstance(value, bool):
        hint = "YAML reads yes, no, on, off, true and false as that: put the word in quotes"
    elif expected == "str" and isinstance(value, int | float):
        hint = f'Put it in quotes: "{value}"'
    elif expected == "int" and isinstance(value, float) and value.is_integer():
        hint = f"Write {int(value)}"
    raise ConfigError(key, f"{kind} where {expected} is expected", hint)


def _resolve(annotation: ast.expr, module: Module, root: Path) -> Definition | Module | None:
    if isinstance(annotation, ast.Name):
        return look_up(annotation.id, module, root)
    if isinstance(annotation, ast.Attribute):
        owner = _resolve(annotation.value, module, root)
        return look_up(annotation.attr, owner, root) if isinstance(owner, Module) else None
    return None


def _alternatives(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp):
        return [*_alternatives(annotation.left), *_alternatives(annotation.right)]
    return [annotation]


def _last_name(annotation: ast.expr) -> str:
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _spoken(annotation: ast.expr) -> str:
    """The annotation in YAML's words."""
    text = ast.unparse(annotation)
    for python, yaml in (
        ("None", "null"),
        ("Sequence", "list"),
        ("Mapping", "dict"),
        ("Path", "str"),
        (" | Tensor", ""),
    ):
        text = text.replace(python, yaml)
    return text
