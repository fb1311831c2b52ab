"""The section `optimizer`: one node for all steps of a task, or a mapping from each step's name to its own.

Which steps there are, the task says: `modules.tasks.step.optimizer_nodes`.
"""

from math import inf
from typing import Any

from modules.configuration.errors import ConfigError

_RANGES = {
    "lr": (0, inf, False),
    "weight_decay": (0, inf, True),
    "momentum": (0, 1, True),
    "eps": (0, inf, True),
}
"""Of keywords of torch's optimizers: lowest value, what a value is below, whether the lowest is allowed."""


def check_optimizer(optimizer: dict[str, Any], lr_decay: float) -> None:
    """Refuses what is neither one node nor a mapping of nodes, or has no rates by part where they are wanted.

    Raises:
        ConfigError: there is no node, a step's names no class, or `lr_decay` has nothing to act on.
    """
    if "_target_" in optimizer:
        _check_rates("optimizer", optimizer, lr_decay)
        _check_ranges("optimizer", optimizer)
        return
    if not optimizer:
        hint = "Choose a file, such as optimizer=adamw, or write a node for each of the task's steps"
        raise ConfigError("optimizer", "has no _target_", f"{hint}: {_example('<step>')}")
    for name, node in optimizer.items():
        if not isinstance(node, dict):
            found = f"the optimizer is a mapping by steps, and {node!r} is no step's node"
            raise ConfigError(f"optimizer.{name}", found, f"A step's node has a class: {_example(name)}")
        if "_target_" not in node:
            raise ConfigError(f"optimizer.{name}", "has no _target_", f"Add its class: {_example(name)}")
        _check_rates(f"optimizer.{name}", node, lr_decay)
        _check_ranges(f"optimizer.{name}", node)


def of_one_node(fault: ConfigError, config: dict[str, Any]) -> ConfigError:
    """A fault with the hint that a mapping by steps is another file, where one node is given a step's."""
    optimizer = config.get("optimizer")
    section, _, name = fault.key.partition(".")
    if section != "optimizer" or not isinstance(optimizer, dict) or "_target_" not in optimizer:
        return fault
    if not isinstance(optimizer.get(name), dict) or not fault.found.endswith(f"has no {name!r}"):
        return fault
    return ConfigError(
        fault.key,
        f"the optimizer is one {optimizer['_target_'].rpartition('.')[2]} for all steps of the task",
        f"One for each step is optimizer=by_step with {_example(name)} and so on",
    )


def _check_ranges(key: str, node: dict[str, Any]) -> None:
    """What torch would refuse when the optimizer is built, or take and learn nothing."""
    for name, (lowest, highest, included) in _RANGES.items():
        value = node.get(name)
        if not isinstance(value, int | float):
            continue
        if not (lowest <= value if included else lowest < value) or not value < highest:
            least = f"at least {lowest}" if included else f"above {lowest}"
            most = "" if highest == inf else f" and below {highest}"
            raise ConfigError(f"{key}.{name}", f"{value} is not {least}{most}")


def _check_rates(key: str, node: dict[str, Any], lr_decay: float) -> None:
    if lr_decay == 1.0:
        return
    if node["_target_"].endswith(".LBFGS"):
        found = f"LBFGS has one rate for all, and fine_tuning.lr_decay={lr_decay} asks for one for each part"
        raise ConfigError(
            f"{key}._target_", found, "Set fine_tuning.lr_decay to 1, or take another optimizer"
        )
    if "lr" not in node:
        found = f"it is not set, and fine_tuning.lr_decay={lr_decay} is a factor of it"
        raise ConfigError(f"{key}.lr", found, f"Set it: +{key}.lr=0.001, for example")


def _example(name: str) -> str:
    return f"+optimizer.{name}._target_=torch.optim.AdamW"
