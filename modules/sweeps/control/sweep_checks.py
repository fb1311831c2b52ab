"""What a space and its settings may not be: one line each, told before anything heavy is imported."""

import math
from typing import Any, cast

from modules.configuration.errors import UserError
from modules.configuration.names import suggest
from modules.configuration.plans.identity import WITHOUT_EFFECT
from modules.configuration.schema.execution_settings import SweepSettings
from modules.configuration.static_analysis.class_attributes import validation_metrics
from modules.sweeps.schedulers.asha import SuccessiveHalving
from modules.sweeps.search.point_plans import is_choice, section
from modules.sweeps.search.search_algorithms import Mode
from modules.sweeps.search.search_space import Space

_CHANGEABLE = ("optimizer", "schedule", "model", "task")
"""The sections whose numbers can change while a model is trained."""


def check_keys(space: Space) -> None:
    """Refuses to vary what no result depends on.

    Raises:
        UserError: naming the key.
    """
    for axis in space.varied():
        if section(axis.key) in WITHOUT_EFFECT:
            raise UserError(
                f"{axis.key} changes no result, so there is nothing to compare", "Give it one value"
            )


def check_intervals(space: Space, config: dict[str, Any]) -> None:
    """Refuses an interval on what is no number.

    Args:
        space: to check.
        config: a configuration of it, composed without its intervals.

    Raises:
        UserError: naming the key and what it is.
    """
    for axis in space.axes:
        if axis.values is not None:
            continue
        if is_choice(axis.key):
            raise UserError(f"{axis.key} is the choice of a file: it has no interval", f"{axis.key}=a,b")
        present, value = _select(config, axis.key.lstrip("+"))
        if not present or value is None:
            continue  # composing it says what may stand there
        if isinstance(value, list | dict):
            kind = "list" if isinstance(value, list) else "mapping"
            raise UserError(
                f"{axis.key} is a {kind}: an interval holds numbers", f"List some: {axis.key}=[1,2],[3,4]"
            )
        if isinstance(value, bool | str):
            raise UserError(
                f"{axis.key} is {value!r}: an interval holds numbers", f"List some: {axis.key}=a,b"
            )
        if isinstance(value, int) and not axis.integer:
            low, high = axis.interval
            within = f"interval({low:g},{high:g})"
            raise UserError(
                f"{axis.key} is a whole number, and {within} holds others", f"{axis.key}=int({within})"
            )


def check_search(space: Space, settings: SweepSettings) -> None:
    """Refuses a search that cannot choose from the space.

    Raises:
        UserError: naming the axis or the setting.
    """
    interval = next((axis.key for axis in space.axes if axis.values is None), None)
    if space.points is not None and settings.search != "grid":
        raise UserError(
            f"hydra/launcher=ray runs the points that are listed, and sweep.search={settings.search}"
            " chooses its own",
            "Take hydra/sweeper=ray instead",
        )
    if settings.search == "grid" and interval is not None:
        raise UserError(
            f"{interval} is an interval: there is no grid of it", "Add sweep=random or sweep=optuna"
        )
    endless = settings.search == "optuna" or space.size is None
    if settings.num_trials is None and settings.search != "grid" and endless:
        raise UserError(
            "sweep.num_trials is null, and this search has no end of its own", "sweep.num_trials=20"
        )


def metric_of(
    config: dict[str, Any], configs: list[dict[str, Any]], settings: SweepSettings
) -> tuple[str, Mode]:
    """The metric that is compared, and whether more or less of it is better.

    Raises:
        UserError: a task of the space does not log it.
    """
    metric = settings.metric or f"validation/{config['expected']['metric']}"
    for target in dict.fromkeys(one["task"]["_target_"] for one in [config, *configs]):
        measured = validation_metrics(target)
        if metric not in measured:
            raise UserError(
                f"sweep.metric: {target.rpartition('.')[2]} logs no {metric!r}", suggest(metric, measured)
            )
    return metric, settings.mode or cast(Mode, validation_metrics(config["task"]["_target_"])[metric])


def check_schedule(space: Space, settings: SweepSettings, configs: list[dict[str, Any]], mode: Mode) -> None:
    """Refuses a scheduler that has nothing to decide.

    Raises:
        UserError: saying why not.
    """
    if settings.scheduler == "none":
        return
    name = settings.scheduler
    epochs = {config["trainer"]["max_epochs"] for config in configs}
    if len(epochs) > 1:
        some = ", ".join(map(str, sorted(epochs)))
        raise UserError(
            f"trainer.max_epochs is {some}: {name} compares trials by epochs", "Give it one value"
        )
    (max_epochs,) = epochs
    if name == "asha":
        halving = SuccessiveHalving(settings.grace_epochs, settings.reduction_factor, mode, max_epochs)
        if not halving.rungs:
            raise UserError(
                f"trainer.max_epochs={max_epochs} leaves asha nothing to stop early: every trial has"
                f" sweep.grace_epochs={settings.grace_epochs}",
                "Raise trainer.max_epochs, or take sweep=random",
            )
    else:
        _check_population(space, settings, max_epochs)


def _check_population(space: Space, settings: SweepSettings, max_epochs: int) -> None:
    if settings.search == "optuna":
        raise UserError("pbt moves its points itself: optuna has no say in it", "sweep.search=random")
    if not any(section(axis.key) == "optimizer" and axis.is_real for axis in space.varied()):
        raise UserError(
            "pbt changes numbers of the optimizer while it trains, and the space has none",
            "optimizer.lr=tag(log,interval(1e-4,1e-1))",
        )
    for axis in space.varied():
        if is_choice(axis.key) or section(axis.key) not in _CHANGEABLE or not axis.is_real:
            raise UserError(
                f"{axis.key} cannot change while a model is trained, as pbt would", "Give it one value"
            )
    sizes = [size for size in (settings.num_trials, space.size) if size is not None]
    num_members = min(sizes, default=0)
    if int(num_members * settings.quantile) == 0:
        least = math.ceil(1 / settings.quantile)
        raise UserError(
            f"a population of {num_members} has no {settings.quantile:g} to replace",
            f"sweep.num_trials={least} or more",
        )
    if max_epochs <= settings.perturb_every_epochs:
        raise UserError(
            f"trainer.max_epochs={max_epochs} leaves pbt no exchange after"
            f" sweep.perturb_every_epochs={settings.perturb_every_epochs}",
            "Raise trainer.max_epochs",
        )


def _select(config: dict[str, Any], key: str) -> tuple[bool, Any]:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False, None
        value = value[part]
    return True, value
