"""What a training's weights begin from, and the optimisers that step them."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from rich.console import Console
from torch.optim import Optimizer

from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.tasks.step import Step, optimizer_nodes
from modules.tasks.task import Task
from modules.training.fine_tuning import parameter_groups
from modules.training.initial_weights import begin_from
from modules.training.overfitting import without_weight_decay


def begin(task: Task, plan: Plan, console: Console) -> dict[str, Any]:
    """Fills the model with the weights that the plan begins from; says what of them fits."""
    file, adapter = plan.pretrained.weights, plan.fine_tuning.adapter
    if file is None:
        return {}
    fit = begin_from(task.model, file, build(adapter) if adapter else None, plan.fine_tuning.reinit)
    console.print(f"begins from {file}: {fit}", highlight=False, soft_wrap=True, markup=False)
    return {"file": str(file), **asdict(fit)}


def true_dtype(precision: str) -> torch.dtype | None:
    """The type of weights and inputs under a precision of Lightning's name; None = float32 as they are."""
    return {"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(precision)


def optimizer_builder(task: Task, plan: Plan) -> Callable[[Step], Optimizer]:
    """Makes the optimiser of each step as the plan says."""
    steps = task.steps()
    nodes = dict(zip([step.name for step in steps], optimizer_nodes(steps, plan.optimizer), strict=True))
    lr_decay = plan.fine_tuning.lr_decay

    def build_optimizer(step: Step) -> Optimizer:
        node, params = nodes[step.name], step.learned
        if lr_decay != 1.0:
            params = parameter_groups(task.model, step, node["lr"], lr_decay)
        optimizer = build(node, params=params)
        return optimizer if plan.trainer.overfit_batches is None else without_weight_decay(optimizer)

    return build_optimizer
