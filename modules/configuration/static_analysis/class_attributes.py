"""What tasks and evaluators say of themselves in class attributes, read from source."""

import ast
from typing import Any

from modules.configuration.static_analysis.definitions import ROOT, Definition, define, look_up


def validation_metrics(target: str) -> dict[str, str]:
    """The metrics that a task logs, by name, and whether "max" or "min" of each is better.

    Args:
        target: the task's class.

    Returns:
        Empty where the source shows none.
    """
    return _attribute(target, "validation_metrics") or {}


def evaluator_metrics(target: str) -> dict[str, str]:
    """The figures that an evaluator may be judged by, by name, and whether "max" or "min" of each is better.

    Args:
        target: the evaluator's class.

    Returns:
        Empty where the source shows none.
    """
    return _attribute(target, "metrics") or {}


def evaluator_charts(target: str) -> tuple[str, ...]:
    """The names of the charts that an evaluator may write, given its class; empty where there are none."""
    return tuple(_attribute(target, "charts") or ())


def asks(target: str) -> str | None:
    """The keyword of an evaluator that names another trained model, given its class; None where it asks
    none."""
    return _attribute(target, "asks")


def sequence_form(target: str) -> tuple[str, str, str] | None:
    """Which form of sequence learning a task is, given its class, and what goes in and comes out; or None."""
    form, ends = _attribute(target, "sequence_form"), _attribute(target, "inputs_and_outputs")
    return None if form is None or ends is None else (form, *ends)


def serves(target: str) -> bool:
    """Whether a task has anything to serve, and so to register, given its class."""
    return bool(_attribute(target, "serves"))


def changes(target: str) -> bool:
    """Whether what a source gives can change under its name, given its class."""
    return bool(_attribute(target, "changes"))


def _attribute(target: str, name: str) -> Any:
    """The literal that a class or its nearest base gives an attribute, or None."""
    definition = define(target)
    while definition is not None and isinstance(definition.node, ast.ClassDef):
        for statement in definition.node.body:
            match statement:
                case (
                    ast.AnnAssign(target=ast.Name(id=given), value=ast.expr() as value)
                    | ast.Assign(targets=[ast.Name(id=given)], value=value)
                ) if given == name:
                    return ast.literal_eval(value)
        definition = _base(definition, definition.node)
    return None


def _base(definition: Definition, node: ast.ClassDef) -> Definition | None:
    names = (base.id for base in node.bases if isinstance(base, ast.Name))
    found = (look_up(name, definition.module, ROOT) for name in names)
    return next((base for base in found if isinstance(base, Definition)), None)
