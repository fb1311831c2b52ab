"""Lightning callbacks that a configuration names, and profilers."""

from pathlib import Path

from pytorch_lightning import Callback

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.training.monitoring.profiling import OperationProfile


def own_callbacks(plan: Plan, profile: Path) -> list[Callback]:
    """Builds the plan's callbacks, in its order, and what records operations.

    Args:
        plan: of the run.
        profile: folder that takes a profile.

    Raises:
        UserError: one cannot be built, or two would keep their state in one place of a checkpoint.
    """
    names: dict[str, str] = {}
    built: list[Callback] = []
    for name, node in plan.callbacks.items():
        callback = build(node)
        has_state = type(callback).state_dict is not Callback.state_dict
        if has_state and callback.state_key in names:
            raise UserError(
                f"callbacks.{names[callback.state_key]} and callbacks.{name} are of one kind, and a"
                " checkpoint holds the state of one",
                "Leave one out",
            )
        if has_state:
            names[callback.state_key] = name
        built.append(callback)
    if plan.profiler is not None and plan.profiler.kind == "pytorch":
        built.append(OperationProfile(plan.profiler, profile))
    return built
