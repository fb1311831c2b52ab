"""Plans on disk, checked like conf/ when read: they may come from someone else."""

from pathlib import Path
from typing import Any

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.schema.config_check import check
from modules.configuration.yaml_files import read_yaml

PLANS = Path("build/plan")
ADDED = ("code", "cost")
"""What a plan holds besides the configuration."""


def read_plan(path: Path) -> dict[str, Any]:
    """The plan of a recipe, checked like a configuration: it may come from someone else.

    Raises:
        UserError: the file is not there, is no plan, or holds what a configuration may not hold.
    """
    plan = read_yaml(path)
    missing = [key for key in ADDED if not isinstance(plan.get(key), dict)]
    if missing:
        raise UserError(
            f"{path} is no plan of a recipe: it has no {missing[0]}",
            "Write it: python -m pipelines.plan --all",
        )
    configuration = _without_facts(plan)
    if isinstance(phases := plan.get("phases"), dict):
        configuration["phases"] = {name: _without_facts(changes) for name, changes in phases.items()}
    try:
        check(configuration)
    except ConfigError as fault:
        raise fault.at(str(path)) from None
    return plan


def _without_facts(plan: Any) -> Any:
    """A plan, or what a phase of it changes, as it was before it was checked and costed."""
    return {key: value for key, value in plan.items() if key not in ADDED} if isinstance(plan, dict) else plan
