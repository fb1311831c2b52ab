"""Plans on disk, checked like conf/ when read: they may come from someone else."""

from pathlib import Path
from typing import Any

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.plans.run_plan import ADDED, Plan, parse_plan
from modules.configuration.schema.config_check import check
from modules.configuration.yaml_files import read_yaml


def read_plan(path: Path) -> Plan:
    """The plan of a recipe.

    Raises:
        UserError: the file is not there, is no plan, or holds what a configuration may not hold.
    """
    plain = read_yaml(path)
    missing = [key for key in ADDED if not isinstance(plain.get(key), dict)]
    if missing:
        raise UserError(
            f"{path} is no plan of a recipe: it has no {missing[0]}",
            "Write it: python -m pipelines.plan --all",
        )
    configuration = _without_facts(plain)
    if isinstance(phases := plain.get("phases"), dict):
        configuration["phases"] = {name: _without_facts(changes) for name, changes in phases.items()}
    try:
        check(configuration)
    except ConfigError as error:
        raise error.at(str(path)) from None
    try:
        return parse_plan(plain)
    except UserError as error:
        raise UserError(f"{path}: {error.problem}", error.hint) from None


def _without_facts(plan: Any) -> Any:
    """A plan, or what a phase of it changes, as it was before it was checked and costed."""
    return {key: value for key, value in plan.items() if key not in ADDED} if isinstance(plan, dict) else plan
