"""Autoencoders: how well images come back, and what their codes are good for, against as many principal
components.

metrics.json holds, all of the test split:

reconstruction_error, pca_reconstruction_error     mean squared error of a pixel
explained_variance, pca_explained_variance         share of the pixels' variance that comes back
loss                   what the task charges for an image
code_accuracy, pca_accuracy, gain_over_pca         share of samples whose class the five nearest codes of the
                       train split tell, in codes and in components, and the difference; where samples have
                       classes
noisy_error, denoised_error, pca_denoised_error    mean squared error of a pixel with noise, and after
                       reconstruction from it; where the task has noise
noise_removed, pca_noise_removed                   the share by which that error has fallen
"""

from collections import defaultdict
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.findings import Chart, Findings, ReportImage, Series
from modules.evaluation.image_tiles import tiles
from modules.metrics.nearest_neighbours import nearest_neighbour_classes
from modules.metrics.principal_components import PrincipalComponents, principal_components
from modules.tasks.reconstruction import Reconstruction

NUM_SHOWN = 12
NUM_SCATTERED = 2000
NUM_GRID = 15


class ReconstructionEvaluator:
    """The figures, images and charts of an autoencoder.

    Args:
        batch_size: samples at a time.
        num_neighbours: codes of the train split that tell the class of a code.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "reconstruction_error": "min",
        "explained_variance": "max",
        "loss": "min",
        "code_accuracy": "max",
        "gain_over_pca": "max",
        "denoised_error": "min",
        "noise_removed": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("codes",)

    def __init__(self, batch_size: int = 500, num_neighbours: int = 5) -> None:
        self.batch_size = batch_size
        self.num_neighbours = num_neighbours

    @torch.no_grad()
    def evaluate(self, task: Reconstruction, data: ShardSet, plan: Plan) -> Findings:
        """What comes back of images, and what their codes are good for."""
        train, test, fields = data.split("train"), data.split("test"), plan.data.fields
        code_size = task.model.code_size
        components = principal_components(
            (task.inputs(batch).flatten(1) for batch in EvaluationLoader(train, self.batch_size)), code_size
        )
        label = next((name for name, field in fields.items() if field.classes and not field.shape), None)
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            metrics = _errors(task, components, test, self.batch_size)
            images = _images(task, components, test, label, self.batch_size)
        charts = []
        if label is not None:
            codes, truth, accuracies = self._accuracies(task, components, train, test, label)
            metrics |= accuracies
            if code_size == 2:
                if images:  # they can be shown
                    images.append(_between(task, codes))
                charts.append(_scatter(codes, truth, fields[label].classes or []))
        return Findings(metrics, images, charts)

    def _accuracies(
        self,
        task: Reconstruction,
        components: PrincipalComponents,
        train: ShardSplit,
        test: ShardSplit,
        label: str,
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Codes and classes of the test split, and how well its neighbours in the train split tell them."""

        def places(split: ShardSplit) -> tuple[Tensor, ...]:
            found = []
            for batch in EvaluationLoader(split, self.batch_size):
                images = task.inputs(batch)
                found.append((task.model.encode(images), components.encode(images.flatten(1)), batch[label]))
            return tuple(map(torch.cat, zip(*found, strict=True)))

        known, asked = places(train), places(test)
        shares = [
            int((nearest_neighbour_classes(space, known[-1], points, self.num_neighbours) == asked[-1]).sum())
            / test.num_samples
            for space, points in zip(known[:2], asked[:2], strict=True)
        ]
        names = ("code_accuracy", "pca_accuracy", "gain_over_pca")
        return asked[0], asked[-1], dict(zip(names, (*shares, shares[0] - shares[1]), strict=True))


def _errors(
    task: Reconstruction, components: PrincipalComponents, test: ShardSplit, batch_size: int
) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for batch in EvaluationLoader(test, batch_size):
        images = task.inputs(batch)
        reconstructed = {
            "reconstruction_error": task.reconstruct(images),
            "pca_reconstruction_error": components.reconstruct(images.flatten(1)),
            "variance": components.mean.expand(len(images), -1),
        }
        if (noise := task.noise) is not None:
            noisy = noise(images)
            reconstructed["noisy_error"] = noisy
            reconstructed["denoised_error"] = task.reconstruct(noisy)
            reconstructed["pca_denoised_error"] = components.reconstruct(noisy.flatten(1))
        for name, others in reconstructed.items():
            errors = (others.flatten(1) - images.flatten(1)).square().mean(1)
            sums[name] += float(errors.sum(dtype=torch.float64))
        sums["loss"] += float(task.loss(batch).total)
    means = {name: total / test.num_samples for name, total in sums.items()}
    variance = means.pop("variance")
    means["explained_variance"] = _fall(variance, means["reconstruction_error"])
    means["pca_explained_variance"] = _fall(variance, means["pca_reconstruction_error"])
    if task.noise is not None:
        means["noise_removed"] = _fall(means["noisy_error"], means["denoised_error"])
        means["pca_noise_removed"] = _fall(means["noisy_error"], means["pca_denoised_error"])
    return means


def _fall(before: float, after: float) -> float:
    return 1 - after / before if before else 0.0


def _images(
    task: Reconstruction,
    components: PrincipalComponents,
    test: ShardSplit,
    label: str | None,
    batch_size: int,
) -> list[ReportImage]:
    """Images of the test split, the first of each class, above what comes back of them."""
    batch = next(iter(EvaluationLoader(test, batch_size)))
    if label is not None:
        of_class = batch[label] == batch[label].unique()[:NUM_SHOWN, None]
        batch = {name: values[of_class.int().argmax(1)] for name, values in batch.items()}
    images = task.inputs(batch)[:NUM_SHOWN]
    if images.shape[1] not in (1, 3):
        return []
    rows = {"images of the test split": images}
    if task.noise is not None:
        rows["the same with noise"] = images = task.noise(images)
    rows[f"reconstructed from {len(components.directions)} codes"] = task.reconstruct(images)
    rows["from as many principal components"] = components.reconstruct(images.flatten(1)).view_as(images)
    caption = f"From top to bottom: {', '.join(rows)}."
    sheet = tiles(torch.cat(list(rows.values())), len(images))
    return [ReportImage("reconstructions", "Reconstructions", caption, sheet)]


def _between(task: Reconstruction, codes: Float[Tensor, "samples 2"]) -> ReportImage:
    """What is decoded from codes on a grid."""
    low, high = codes.quantile(torch.tensor([0.025, 0.975]), dim=0)
    steps = torch.linspace(0, 1, NUM_GRID)
    first, second = (low[axis] + (high - low)[axis] * steps for axis in (0, 1))
    grid = torch.cartesian_prod(second.flip(0), first).flip(1)  # upwards and to the right, as in the chart
    caption = "What is decoded from codes between those of the test split, the first from left to right."
    return ReportImage("between", "Between the codes", caption, tiles(task.decode(grid), NUM_GRID, scale=1))


def _scatter(codes: Float[Tensor, "samples 2"], truth: Tensor, classes: list[str]) -> Chart:
    shown, of = codes[:NUM_SCATTERED], truth[:NUM_SCATTERED]
    series = [
        Series(name, [(x, y) for x, y in shown[of == number].tolist()]) for number, name in enumerate(classes)
    ]
    caption = f"Where {len(shown):,} images of the test split lie; the net has never seen a class."
    return Chart("codes", "Codes by class", caption, "points", "first code", "second code", series)
