"""Nets that make images of a label: what the net dreams.

Hinton, Osindero & Teh (2006), Neural Computation 18, section 7, *Looking into the mind of a neural network*.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.findings import Findings, ReportImage
from modules.evaluation.image_tiles import tiles
from modules.models.boltzmann.generative_belief_net import GenerativeBeliefNet
from modules.tasks.up_down import UpDown


class UpDownEvaluator:
    """A row of dreams for each label.

    Args:
        num_dreams: images of each label.
        num_gibbs_steps: of the chain that leads to each.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {}

    def __init__(self, num_dreams: int = 10, num_gibbs_steps: int = 1000) -> None:
        self.num_dreams = num_dreams
        self.num_gibbs_steps = num_gibbs_steps

    def evaluate(self, task: UpDown, data: ShardSet, plan: Plan) -> Findings:
        """The dreams as one image; nothing where samples are no images."""
        first = next(iter(EvaluationLoader(data.split("test"), 1)))
        shape = tuple(task.inputs(first).shape[1:])
        if shape[0] not in (1, 3):
            return Findings()
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            dreamt = dreams(task.model, self.num_dreams, self.num_gibbs_steps)
        image = ReportImage(
            "dreams",
            "Dreams",
            f"Each row is one label, held fixed: what {self.num_dreams} chains of the associative memory have"
            f" come to after {self.num_gibbs_steps:,} Gibbs steps from any state, carried down to the pixels"
            " by means.",
            tiles(dreamt.unflatten(1, shape), self.num_dreams),
        )
        return Findings(images=[image])


@torch.no_grad()
def dreams(
    model: GenerativeBeliefNet, num_dreams: int, num_gibbs_steps: int
) -> Float[Tensor, "dreams pixels"]:
    """Images of each label, as many as asked for, label by label."""
    label = torch.arange(model.num_classes).repeat_interleave(num_dreams)
    hidden = torch.rand(len(label), len(model.top.hidden_bias)).round()
    visible = hidden.new_empty(0)
    for _ in range(num_gibbs_steps):
        visible, hidden = model.gibbs_step(hidden, label)
    return model.decode(visible[:, : -model.num_classes])
