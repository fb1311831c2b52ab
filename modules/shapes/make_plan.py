"""The plan of a run: its resolved configuration, the code that it reaches, and what it will cost."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modules.configuration.plans.identity import pinned_environment
from modules.configuration.schema.phases import named_phases, with_phases
from modules.configuration.static_analysis.code_fingerprint import code_fingerprint
from modules.configuration.static_analysis.definitions import ROOT

if TYPE_CHECKING:
    from modules.configuration.composition.key_locations import Origins
    from modules.shapes.shape_check import ShapeReport

BUILT = ("model", "task", "optimizer", "schedule", "fine_tuning")
TRAINING = ("modules.training.fit", "modules.datamodules.shard_loader")


def make_plan(config: dict[str, Any], origins: "Origins | None" = None) -> dict[str, Any]:
    """The plan of a resolved configuration.

    Args:
        config: from `compose`.
        origins: what it was composed of, so that an error of shape names file and line.

    Returns:
        The configuration without `sweep`, and with it `code`, what it runs, and `cost`, what it takes.

    Raises:
        UserError: a shape does not agree, or code cannot be read.
    """
    from modules.shapes.shape_check import check_phases, check_shapes

    return with_costs(config, check_shapes(config, origins), check_phases(config, origins))


def with_costs(
    config: dict[str, Any],
    report: "ShapeReport",
    phases: "dict[str, ShapeReport]",
    code_of: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The plan of a resolved configuration whose shapes have been checked, and those of its phases.

    Args:
        config: resolved.
        report: of its shapes.
        phases: of the shapes of each phase, by name.
        code_of: says what `training_code` says, for one that remembers.
    """
    code_of = code_of or training_code
    own = {key: value for key, value in config.items() if key != "sweep"}
    facts = {
        name: {"code": code_of(phase), "cost": cost_of(phases[name])}
        for name, phase in named_phases(config).items()
    }
    return with_phases(own, facts) | {"code": code_of(config), "cost": cost_of(report)}


def cost_of(report: "ShapeReport") -> dict[str, Any]:
    """What a plan says of the cost."""
    cost = report.cost
    totals = {"memory_bytes": cost.memory_bytes, "step_multiply_adds": cost.step_multiply_adds}
    return asdict(cost) | totals


def training_code(config: dict[str, Any]) -> dict[str, Any]:
    """The fingerprint of the code that may change a training's result, and of the pinned environment."""
    pins = "\n".join(pinned_environment(ROOT / "constraints.txt"))
    code = code_fingerprint([*named_targets([config[section] for section in BUILT]), *TRAINING])
    return code | {"environment": hashlib.sha256(pins.encode()).hexdigest()}


def named_targets(value: Any) -> list[str]:
    """Every `_target_` in a plain value, at any depth."""
    if isinstance(value, list):
        return [target for item in value for target in named_targets(item)]
    if not isinstance(value, dict):
        return []
    inner = [target for item in value.values() for target in named_targets(item)]
    return [value["_target_"], *inner] if "_target_" in value else inner
