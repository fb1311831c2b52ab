"""Plans of what is measured."""

from modules.configuration.composition.compose import compose
from modules.configuration.plans.run_plan import Plan
from modules.shapes.make_plan import make_plan


def planned(overrides: list[str]) -> Plan:
    """The plan that overrides such as `recipe=lenet` stand for."""
    return make_plan(compose(overrides))
