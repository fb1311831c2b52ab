"""Plans for tests: whole and typed, with costs and code that nobody looked up."""

import functools
from typing import Any

from modules.configuration.composition.compose import compose
from modules.configuration.plans.run_plan import Code, Plan, make_plan_of
from modules.configuration.plans.training_cost import Cost
from modules.configuration.schema.phases import named_phases

COST = Cost(
    num_parameters=1,
    num_trainable=1,
    multiply_adds=1,
    backward_multiply_adds=1,
    activation_bytes=1,
    weight_bytes=1,
    optimizer_bytes=1,
    working_bytes=1,
    batch_size=1,
)


def plan_of(config: dict[str, Any], code: Code | None = None) -> Plan:
    """The plan of a resolved configuration."""
    code = code or Code("0" * 64)
    before = {name: make_plan_of(phase, code, COST) for name, phase in named_phases(config).items()}
    return make_plan_of(config, code, COST, before)


@functools.cache
def recipe_configuration(recipe: str) -> dict[str, Any]:
    """The configuration of a recipe as it stands, composed once: look at it, and change nothing in it."""
    return compose([f"recipe={recipe}"])


def composed_plan(*overrides: str) -> Plan:
    """The plan of overrides such as `recipe=lenet`."""
    return plan_of(compose(list(overrides)))
