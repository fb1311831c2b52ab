"""Whether two plans can train as one program, and should, tried on a few samples.

Two members, stacked, take two steps; their losses, gradients and weights must be those of each by itself.
What `vmap` cannot do (running statistics, random numbers other than dropout, branches on values) shows itself
there.
"""

import torch
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.data_settings import FieldSettings
from modules.configuration.schema.execution_settings import RuntimeSettings
from modules.configuration.schema.trainer_settings import TrainerSettings
from modules.configuration.static_analysis.targets import build
from modules.sweeps.workers.stacking.dropout import Masks, dropouts
from modules.sweeps.workers.stacking.optimizer import MemberOptimizer
from modules.sweeps.workers.stacking.program import Batch, StackedProgram, Unstackable
from modules.sweeps.workers.stacking.validation_measures import measured
from modules.tasks.optional_methods import OwnGradientStep, OwnParameterGroups, OwnState
from modules.tasks.task import Task
from modules.training.fit import initial_task
from modules.training.random_state import stream_seed

_NUM_SAMPLES = 8
_NUM_STEPS = 3
# What a task says in its own way; who overrides more of a module than this may train in another way, too.
_OWN = {"loss", "inputs", "validate", "start_validation", "finish_validation", "served", "served_inputs"}
_OWN |= {"forward", "extra_repr"}


def why_alone(plan: Plan, other: Plan) -> str:
    """Why plans that differ as these two do should not train as one program; empty if they should."""
    try:
        with torch.random.fork_rng(devices=[]):
            _try([plan, other])
    except Exception as error:  # whatever it is, each trial meets it, and says it, by itself
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""


def _try(plans: list[Plan]) -> None:
    settings = plans[0].trainer
    _check_settings(settings, plans[0].runtime)
    if any(isinstance(size, str) for field in plans[0].data.fields.values() for size in field.shape):
        raise Unstackable("samples differ in size")
    alone = [initial_task(plan).train() for plan in plans]
    tasks = [initial_task(plan).train() for plan in plans]
    for task in [*alone, *tasks]:
        _check_task(task)
    optimizers = [build(p.optimizer, params=t.model.parameters()) for p, t in zip(plans, alone, strict=True)]
    batches = [_batch(plans[0].data.fields, seed) for seed in range(len(plans))]
    together = {name: torch.stack([batch[name] for batch in batches]) for name in batches[0]}
    buffers = {name: buffer.clone() for name, buffer in tasks[0].named_buffers()}
    seeds = [plan.seed for plan in plans]
    masks = Masks(seeds, [dropouts(task, batches[0]) for task in tasks])
    program = StackedProgram(tasks, False, settings.gradient_clip_norm)
    optimizer = MemberOptimizer(plans, tasks)
    masks.start_epoch(0)
    states = [torch.Generator().manual_seed(stream_seed(seed, 1)).get_state() for seed in seeds]
    for _ in range(_NUM_STEPS):
        losses, gradients = program.step(together, masks)
        for number, (task, own) in enumerate(zip(alone, optimizers, strict=True)):
            own.zero_grad()
            torch.set_rng_state(states[number])
            loss = task.loss(batches[number]).quotient
            states[number] = torch.get_rng_state()
            loss.backward()
            if settings.gradient_clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(task.model.parameters(), settings.gradient_clip_norm)
            _check_same(losses[number], loss.detach())
            for parameter, gradient in zip(task.model.parameters(), gradients, strict=True):
                if parameter.grad is None:
                    raise Unstackable("a parameter has no gradient")
                _check_same(gradient[number], parameter.grad)
                # Rounding can turn the sign of a small one, and what Adam makes of it.
                parameter.grad = gradient[number].clone()
            own.step()
        optimizer.step(gradients, [1.0] * len(plans))
        for task, stacked in zip(alone, tasks, strict=True):
            for parameter, other in zip(task.model.parameters(), stacked.model.parameters(), strict=True):
                _check_same(other.detach(), parameter.detach())
    if program.has_convolutions:
        raise Unstackable("convolutions of several networks at once are slower than one after another")
    if any(not torch.equal(buffer, buffers[name]) for name, buffer in tasks[0].named_buffers()):
        raise Unstackable("training changes a buffer")
    measured(tasks[:1], [{**batches[0], "index": torch.arange(_NUM_SAMPLES)}])


def _check_settings(settings: TrainerSettings, runtime: RuntimeSettings) -> None:
    on_processor = runtime.accelerator == "cpu" or (
        runtime.accelerator == "auto" and not torch.accelerator.is_available()
    )
    if not on_processor or runtime.num_workers > 1 or settings.precision != "32-true":
        raise Unstackable("a stack trains in one process, on a CPU, in 32 bits")
    if settings.order.kind != "shuffled":
        raise Unstackable("a stack takes its samples shuffled")


def _check_task(task: Task) -> None:
    kinds = type(task).__mro__
    own = {name for kind in kinds[: kinds.index(Task)] for name in vars(kind)}
    overridden = [
        name for name in own - _OWN if not name.startswith("__") and callable(getattr(Task, name, None))
    ]
    if overridden:
        raise Unstackable(f"the task has its own {overridden[0]}")
    if isinstance(task, OwnGradientStep | OwnParameterGroups | OwnState):
        raise Unstackable("the task has its own step, parameter groups or state")
    if not all(parameter.requires_grad for parameter in task.model.parameters()):
        raise Unstackable("a parameter is frozen")


def _batch(fields: dict[str, FieldSettings], seed: int) -> Batch:
    """Samples as the schema has them, of random content."""
    generator = torch.Generator().manual_seed(seed)

    def field(about: FieldSettings) -> Tensor:
        dtype, shape = getattr(torch, about.dtype), (_NUM_SAMPLES, *map(int, about.shape))
        if dtype.is_floating_point:
            return torch.rand(shape, dtype=dtype, generator=generator)
        highest = len(about.classes) if about.classes else 128 if dtype.itemsize == 1 else 2
        return torch.randint(0, highest, shape, generator=generator).to(dtype)

    return {name: field(about) for name, about in fields.items()}


def _check_same(stacked: Tensor, alone: Tensor) -> None:
    torch.testing.assert_close(stacked, alone, rtol=1e-3, atol=1e-5)
