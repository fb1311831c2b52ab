"""The section `optimizer`: one node for all steps of a task, or a mapping from each step's name to its own.

Which steps there are, the task says: `modules.tasks.step.optimizer_nodes`.
"""

from typing import Any

from modules.configuration.errors import ConfigError


def check_optimizer(optimizer: dict[str, Any]) -> None:
    """Refuses what is neither one node nor a mapping of nodes.

    Raises:
        ConfigError: nothing is to be built, or a step's node names no class.
    """
    if "_target_" in optimizer:
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


def _example(name: str) -> str:
    return f"+optimizer.{name}._target_=torch.optim.AdamW"
