"""Nets that make images of a label: what a classifier's evaluation shows, and what the net dreams.

Hinton, Osindero & Teh (2006), Neural Computation 18, section 7, *Looking into the mind of a neural network*.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation import classification_evaluator
from modules.evaluation.classification_evaluator import ClassificationFindings
from modules.evaluation.findings import ReportImage
from modules.evaluation.image_tiles import tiles
from modules.models.boltzmann.generative_belief_net import GenerativeBeliefNet
from modules.tasks.up_down import UpDown

NUM_DREAMS, NUM_GIBBS_STEPS = 10, 1000


def evaluate(task: UpDown, data: ShardSet, settings: DataSettings, plan: Plan) -> ClassificationFindings:
    """As for any classifier, and a row of dreams for each label."""
    found = classification_evaluator.evaluate(task, data, settings, plan)
    (first, *_) = EvaluationLoader(data.split("test"), 1)
    shape = tuple(task.inputs(first).shape[1:])
    if shape[0] not in (1, 3):
        return found
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        dreamt = dreams(task.model, NUM_DREAMS, NUM_GIBBS_STEPS)
    image = ReportImage(
        "dreams",
        "Dreams",
        f"Each row is one label, held fixed: what {NUM_DREAMS} chains of the associative memory have come to "
        f"after {NUM_GIBBS_STEPS:,} Gibbs steps from any state, carried down to the pixels by means.",
        tiles(dreamt.unflatten(1, shape), NUM_DREAMS),
    )
    return replace(found, images=[*found.images, image])


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
