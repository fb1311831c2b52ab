"""Boltzmann machines: how likely the test split is, what the machine makes up, what its units look at.

The log-likelihood is exact for a small machine, else by annealed importance sampling
(`modules.metrics.partition_function`); of an upper layer it is that of the features below it. Figures are of
the classes that the training has seen.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modules.bricks.gibbs_sampling import gibbs_step, sample_hidden
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.findings import Findings, ReportImage
from modules.evaluation.image_tiles import tiles
from modules.metrics.partition_function import log_partition
from modules.tasks.contrastive_divergence import ContrastiveDivergence, reconstruction_error

NUM_FILTERS = 100
NUM_SAMPLED, NUM_SAMPLE_CHAINS = 10, 10


class BoltzmannEvaluator:
    """The figures and images of the layer that the task trains.

    Args:
        batch_size: samples at a time.
        num_chains: of annealed importance sampling.
        num_temperatures: between the base rate and the machine.
        sampled_every_steps: Gibbs steps between two samples that are shown.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "log_likelihood": "max",
        "reconstruction_error": "min",
    }

    def __init__(
        self,
        batch_size: int = 500,
        num_chains: int = 100,
        num_temperatures: int = 3000,
        sampled_every_steps: int = 200,
    ) -> None:
        self.batch_size = batch_size
        self.num_chains = num_chains
        self.num_temperatures = num_temperatures
        self.sampled_every_steps = sampled_every_steps

    @torch.no_grad()
    def evaluate(self, task: ContrastiveDivergence, data: ShardSet, plan: Plan) -> Findings:
        """How likely the test split is, chains and filters."""
        label = next((name for name, field in plan.data.fields.items() if field.classes), None)
        left_out = {label: plan.trainer.without_classes} if label is not None else {}
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            figures = self._figures(task, data, left_out)
            return Findings(metrics=figures, images=self._images(task, data.split("test"), label))

    def _figures(
        self, task: ContrastiveDivergence, data: ShardSet, left_out: dict[str, list[int]]
    ) -> dict[str, float]:
        layer = task.layer
        visible = self._visible(task, data.split("test"), left_out)
        of_training = self._visible(task, data.split("train"), left_out, at_least=len(visible))
        free_energy = _mean_free_energy(task, visible)
        log_z = log_partition(layer, of_training.mean(0), self.num_chains, self.num_temperatures)
        return {
            "log_likelihood": -free_energy - log_z.value,
            "log_partition": log_z.value,
            "log_partition_error": log_z.standard_error,
            "free_energy_gap": free_energy - _mean_free_energy(task, of_training),
            "reconstruction_error": float(reconstruction_error(layer, visible).double().mean()),
            "num_samples": len(visible),
        }

    def _visible(
        self,
        task: ContrastiveDivergence,
        split: ShardSplit,
        left_out: dict[str, list[int]],
        at_least: int | None = None,
    ) -> Float[Tensor, "samples visible"]:
        """What the layer sees of a split without some classes, or of `at_least` so many of its samples."""
        found, num_found = [], 0
        for batch in EvaluationLoader(split, self.batch_size):
            seen = task.visible(batch)
            for field, classes in left_out.items():
                seen = seen[~torch.isin(batch[field], torch.tensor(classes))]
            found.append(seen)
            num_found += len(seen)
            if at_least is not None and num_found >= at_least:
                break
        return torch.cat(found)

    def _images(self, task: ContrastiveDivergence, test: ShardSplit, label: str | None) -> list[ReportImage]:
        first = next(iter(EvaluationLoader(test, self.batch_size)))
        inputs = task.inputs(first)
        shape = tuple(inputs.shape[1:])
        if shape[0] not in (1, 3):
            return []
        starts = torch.arange(len(inputs)) if label is None else _first_of_each(first[label])
        sampled = samples(task, task.visible(first)[starts[:NUM_SAMPLE_CHAINS]], self.sampled_every_steps)
        strip = torch.cat([inputs[starts[: len(sampled)]][:, None], sampled.unflatten(2, shape)], dim=1)
        images = [
            ReportImage(
                "samples",
                "Samples",
                "Each row is a chain of its own: on the left the test image that it begins with, then what "
                f"the machine makes of it, every {self.sampled_every_steps} Gibbs steps (means of pixels).",
                tiles(strip.flatten(0, 1), NUM_SAMPLED + 1),
            )
        ]
        if not task.below:
            weights = task.layer.weights[:NUM_FILTERS].unflatten(1, shape)
            furthest = weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
            images.append(
                ReportImage(
                    "filters",
                    "Filters",
                    f"Weights of the first {len(weights)} hidden units, each on its own scale: grey is none, "
                    "a bright pixel speaks for the unit, a dark one against it.",
                    tiles(weights / furthest / 2 + 0.5, 10),
                )
            )
        return images


def _mean_free_energy(task: ContrastiveDivergence, visible: Float[Tensor, "samples visible"]) -> float:
    return float(task.layer.free_energy(visible).double().mean())


def samples(
    task: ContrastiveDivergence, visible: Float[Tensor, "chains visible"], every_steps: int
) -> Float[Tensor, "chains samples pixels"]:
    """What Gibbs sampling in the trained layer leads to, carried down to the pixels by means."""
    taken = []
    hidden = sample_hidden(task.layer, visible)
    for step in range(1, NUM_SAMPLED * every_steps + 1):
        if step % every_steps == 0:
            mean = task.layer.visible_mean(hidden)
            for below in reversed(task.below):
                mean = below.visible_mean(mean)
            taken.append(mean)
        _, hidden = gibbs_step(task.layer, hidden)
    return torch.stack(taken, dim=1)


def _first_of_each(label: Tensor) -> Tensor:
    """Where the first sample of each class in a batch stands."""
    return (label == label.unique()[:, None]).int().argmax(dim=1)
