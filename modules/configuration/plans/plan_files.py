"""Plans on disk, checked like conf/ when read: they may come from someone else.

A plan's last line is the digest of what is above it: its facts (code, cost) are those of its configuration,
which would not hold of one that was edited by hand.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.plans.run_plan import ADDED, Plan, parse_plan
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.config_check import check
from modules.configuration.schema.execution_settings import RuntimeSettings
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import read_yaml, to_yaml

_DIGEST = "# sha256 of the lines above: "


def plan_text(plain: dict[str, Any], header: str = "") -> str:
    """A plan's file.

    Args:
        plain: what `Plan.to_plain` gives.
        header: comments before it.
    """
    text = header + to_yaml(plain)
    return f"{text}{_DIGEST}{sha256(text.encode()).hexdigest()}\n"


def read_plan(path: Path) -> Plan:
    """The plan of a recipe.

    Raises:
        UserError: the file is not there, is no plan, was edited, or holds what a configuration may not hold.
    """
    plain = read_yaml(path)
    _check_digest(path)
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


def heard_here(runtime: RuntimeSettings, own: Path = ROOT / "conf/runtime/local.yaml") -> RuntimeSettings:
    """Settings of a file that may come from someone else, which has no command run and nothing posted: its
    `on_failure` stays only where this yard asks for the same.

    Args:
        runtime: of the file.
        own: the file of this yard's settings.
    """
    if runtime.on_failure in (None, read_yaml(own).get("on_failure")):
        return runtime
    return replace(runtime, on_failure=None)


def _check_digest(path: Path) -> None:
    above, mark, digest = read_regular_text(path).rpartition(_DIGEST)
    if mark and sha256(above.encode()).hexdigest() != digest.strip():
        raise UserError(
            f"{path} was edited by hand: its code and cost are another configuration's",
            "Bring it back, and train with overrides instead: python -m pipelines.train recipe=...",
        )


def _without_facts(plan: Any) -> Any:
    """A plan, or what a phase of it changes, as it was before it was checked and costed."""
    return {key: value for key, value in plan.items() if key not in ADDED} if isinstance(plan, dict) else plan
