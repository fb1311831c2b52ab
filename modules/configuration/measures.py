"""What a task measures in validation: the class attribute `measures`, read from source."""

import ast

from modules.configuration.definitions import ROOT, Definition, define, look_up


def measures(target: str) -> dict[str, str]:
    """The metrics that a task logs, by name, and whether "max" or "min" of each is better.

    Args:
        target: the task's class.

    Returns:
        Empty where the source shows none.
    """
    definition = define(target)
    while definition is not None and isinstance(definition.node, ast.ClassDef):
        for statement in definition.node.body:
            match statement:
                case (
                    ast.AnnAssign(target=ast.Name(id="measures"), value=ast.Dict() as value)
                    | ast.Assign(targets=[ast.Name(id="measures")], value=ast.Dict() as value)
                ):
                    return ast.literal_eval(value)
        definition = _base(definition, definition.node)
    return {}


def _base(definition: Definition, node: ast.ClassDef) -> Definition | None:
    names = (base.id for base in node.bases if isinstance(base, ast.Name))
    found = (look_up(name, definition.module, ROOT) for name in names)
    return next((base for base in found if isinstance(base, Definition)), None)
