"""Makes the plan of a run of its resolved configuration: shapes checked, code fingerprinted, costs
estimated."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from modules.configuration.plans.code_rings import deciding_code
from modules.configuration.plans.mirrored_index import check_cache_room
from modules.configuration.plans.run_plan import Code, Plan, make_plan_of
from modules.configuration.plans.training_cost import Cost
from modules.configuration.schema.phases import named_phases

if TYPE_CHECKING:
    from modules.configuration.composition.key_locations import KeyLocations
    from modules.shapes.shape_check import ShapeReport

BUILT = ("model", "task", "optimizer", "schedule", "fine_tuning", "callbacks")


def make_plan(config: dict[str, Any], locations: "KeyLocations | None" = None) -> Plan:
    """The plan of a resolved configuration.

    Args:
        config: from `compose`.
        locations: what it was composed of, so that an error of shape names file and line.

    Raises:
        UserError: a shape does not agree, or code cannot be read.
    """
    from modules.shapes.shape_check import check_phases, check_shapes

    return with_costs(config, check_shapes(config, locations), check_phases(config, locations))


def plan_without_costs(config: dict[str, Any]) -> Plan:
    """The plan of a configuration whose shapes are not checked: enough for its identity. Imports no torch."""
    unknown = Cost(0, 0, 0, 0, 0, 0, None, 0, 0)
    before = {
        name: make_plan_of(phase, training_code(phase), unknown)
        for name, phase in named_phases(config).items()
    }
    return make_plan_of(config, training_code(config), unknown, before)


def with_costs(
    config: dict[str, Any],
    report: "ShapeReport",
    phases: "dict[str, ShapeReport]",
    code_of: Callable[[dict[str, Any]], Code] | None = None,
) -> Plan:
    """The plan of a resolved configuration whose shapes have been checked, and those of its phases.

    Args:
        config: resolved.
        report: of its shapes.
        phases: of the shapes of each phase, by name.
        code_of: says what `training_code` says, for one that remembers.
    """
    check_cache_room(config)
    code_of = code_of or training_code
    before = {
        name: make_plan_of(phase, code_of(phase), phases[name].cost)
        for name, phase in named_phases(config).items()
    }
    return make_plan_of(config, code_of(config), report.cost, before)


def training_code(config: dict[str, Any]) -> Code:
    """The code that decides the result of a configuration's training."""
    return deciding_code(named_targets([config.get(section) for section in BUILT]))


def named_targets(value: Any) -> list[str]:
    """Every `_target_` in a plain value, at any depth."""
    if isinstance(value, list):
        return [target for item in value for target in named_targets(item)]
    if not isinstance(value, dict):
        return []
    inner = [target for item in value.values() for target in named_targets(item)]
    return [value["_target_"], *inner] if "_target_" in value else inner
