"""Plans kept beside trained weights, those of earlier versions too: what a trained model is built from."""

from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.renamed import renamed
from modules.configuration.static_analysis.kinds import check_kinds
from modules.configuration.static_analysis.node_check import check_node
from modules.configuration.yaml_files import checked, parse_yaml


def read_trained(path: Path) -> dict[str, Any]:
    """The plain plan of a run or a registered model, in today's words.

    Raises:
        UserError: the file is not there, is no plan, or names a class that is not here any more.
    """
    plan = checked(renamed(parse_yaml(path)), path)
    missing = [section for section in ("model", "task", "data") if not isinstance(plan.get(section), dict)]
    if missing:
        raise UserError(f"{path} is no plan: it has no {missing[0]}", "Name a run or a registered model")
    for section in ("model", "task"):
        try:
            check_kinds({section: plan[section]})
            check_node(section, plan[section], {"task": ("model",)})
        except UserError as error:
            hint = f"It was trained by an earlier version: train {plan.get('name', 'it')} again"
            raise UserError(f"{path}: {error.problem}", error.hint or hint) from None
    return plan
