"""Contrastive divergence: a Boltzmann layer learns to prefer the data to what it makes up itself.

CD-k: Hinton (2002), *Training products of experts by minimizing contrastive divergence*, Neural Computation
14, equation 10. Persistent: Tieleman (2008), *Training restricted Boltzmann machines using approximations to
the likelihood gradient*. Sparsity, and what is sampled where: Hinton (2010), *A practical guide to training
restricted Boltzmann machines*, sections 3 and 11.

The loss is the mean energy of the data less that of the fantasies (states that Gibbs sampling leads to), the
hidden units at their probabilities and held fixed. Its gradient is the statistic <v h>_data - <v h>_model of
the papers, and costs three matrix products a step for PCD-1. The loss itself is no likelihood and may rise.

In a stack one layer learns at a time. Its data are the probabilities of the layers below, not samples of
them: less noise, and what the unrolled perceptron passes up (Hinton & Salakhutdinov 2006, supplement).

Deviates: q, the mean activity that sparsity pulls to its target p, is that of the batch, not a running one.
Hinton's mean-field last reconstruction is a sample here.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from modules.bricks.boltzmann_layer import BoltzmannLayer
from modules.bricks.gibbs_sampling import gibbs_step, sample_bernoulli, sample_hidden, sample_visible
from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.metrics.partition_function import log_partition
from modules.models.protocols import BoltzmannStack
from modules.tasks.contrast import Contrast, step_down
from modules.tasks.image_inputs import demand_unit_interval, served_image
from modules.tasks.persistent_chains import PersistentChains
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary

# log Z is looked at after each epoch: enough for a curve. The evaluation takes its time.
_NUM_CHAINS, _NUM_TEMPERATURES, _EXACT_UP_TO = 20, 300, 12


class ContrastiveDivergence(Task):
    """Learns the distribution of images, or of the features that the layers below give of them.

    Batches hold `image`, [batch, channels, height, width]: uint8 0..255, or float.

    Args:
        model: says its `boltzmann_layers`, the lowest first.
        layer: number of the layer that learns.
        num_gibbs_steps: from data or particles to fantasies: the k of CD-k.
        persistent: whether the chains go on from the last step's fantasies instead of the data (PCD).
        sparsity_target: the mean activity that hidden units are pulled to.
        sparsity_cost: how strongly; 0 = not at all.
        binarise: whether each pixel is sampled as 0 or 1 at every look, its grey level being the probability;
            log-likelihoods are then those of black and white images (Salakhutdinov & Murray 2008).
        units: what the numbers of the images are. Where they are floats, Bernoulli units demand that it
            says 0..1; the first batch is looked at as well.

    Raises:
        ValueError: if the model has no such layer, `num_gibbs_steps` is below 1 or the sparsity impossible.
    """

    serves = True
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/log_likelihood": "max",
        "validation/reconstruction_error": "min",
    }
    evaluator = "modules.evaluation.boltzmann_evaluator"

    def __init__(
        self,
        model: nn.Module,
        layer: int = 0,
        num_gibbs_steps: int = 1,
        persistent: bool = False,
        sparsity_target: float = 0.1,
        sparsity_cost: float = 0.0,
        binarise: bool = False,
        units: str = "",
    ) -> None:
        super().__init__(model)
        if not isinstance(model, BoltzmannStack):
            raise ValueError(f"{type(model).__name__} has no Boltzmann layers")
        layers = model.boltzmann_layers()
        if not 0 <= layer < len(layers):
            raise ValueError(f"layer={layer} is none of the {len(layers)} layers, which count from 0")
        if num_gibbs_steps < 1:
            raise ValueError(f"num_gibbs_steps={num_gibbs_steps} is below 1: nothing would be sampled")
        if not 0 < sparsity_target < 1 or sparsity_cost < 0:
            raise ValueError(
                f"sparsity_target={sparsity_target} is not between 0 and 1, or sparsity_cost={sparsity_cost} "
                "is below 0"
            )
        # In a tuple, whose modules are not registered again; to look them up in the model takes its time.
        self._layers: tuple[BoltzmannLayer, ...] = tuple(layers[: layer + 1])
        self.chains = PersistentChains()
        self.num_gibbs_steps = num_gibbs_steps
        self.persistent = persistent
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.binarise = binarise
        self.units = units
        self._looked_at_values = False
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in self.layer.parameters():
            parameter.requires_grad_(True)

    @property
    def layer(self) -> BoltzmannLayer:
        """The layer that learns."""
        return self._layers[-1]

    @property
    def below(self) -> tuple[BoltzmannLayer, ...]:
        """The layers that it gets its data through."""
        return self._layers[:-1]

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images, those of whole numbers scaled to 0..1.

        Raises:
            UserError: they are not known to be in 0..1, or not in it, and the units are Bernoulli.
        """
        image = batch["image"]
        dtype = torch.get_default_dtype()
        if image.dtype == torch.uint8:
            return image.to(dtype) / 255
        gaussian = (*self.below, self.layer)[0].is_gaussian
        hint = "Scale the field to 0..1, or set model.visible_units=gaussian"
        if not gaussian and ("0..1" not in self.units or not image.is_floating_point()):
            kind = str(image.dtype).removeprefix("torch.")
            raise UserError(
                f"data.fields.image is {kind} in {self.units!r}; Bernoulli units need uint8, or 0..1", hint
            )
        if not gaussian and not self._looked_at_values:
            demand_unit_interval(image, "Bernoulli units", hint)
            self._looked_at_values = not image.is_meta
        return image.to(dtype)

    def visible(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch visible"]:
        """States of the layer's visible units: pixels, or probabilities of the units below."""
        visible = self.inputs(batch).flatten(1)
        if self.binarise:
            visible = sample_bernoulli(visible)
        with torch.no_grad():
            for layer in self.below:
                visible = layer.hidden_probabilities(visible)
        return visible

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        contrast = self._contrast(batch)
        return Mean.of_mean(contrast.loss, contrast.num_data)

    def gradient_step(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Mean:
        with torch.no_grad():
            contrast = self._contrast(batch)
        step_down(self.layer, contrast, optimizer)
        return Mean.of_mean(contrast.loss, contrast.num_data)

    def _contrast(self, batch: dict[str, Tensor]) -> Contrast:
        """The loss, and what its gradient is made of."""
        with torch.no_grad():
            visible = self.visible(batch)
            fantasies = self._fantasies(visible)
            num_data, num_fantasies = len(visible), len(fantasies)
            both = torch.cat([visible, fantasies])
            share = both.new_full((len(both),), 1 / num_data)
            share[num_data:] = -1 / num_fantasies
        logits = self.layer(both)  # one product of twice the rows is faster than two
        with torch.no_grad():
            hidden = logits.sigmoid().to(both.dtype)
            if self.persistent:
                self.chains.particles = sample_bernoulli(hidden[num_data:])
            if self.sparsity_cost:
                pull = self.sparsity_cost * (hidden[:num_data].mean(0) - self.sparsity_target)
                hidden[:num_data] -= pull
            hidden *= share[:, None]
        own = self.layer.visible_energy(both, self.layer.visible_bias).to(both.dtype)
        loss = torch.dot(share, own) - torch.dot(hidden.flatten(), logits.to(both.dtype).flatten())
        return Contrast(loss, both, hidden, share, num_data)

    def _fantasies(self, visible: Float[Tensor, "batch visible"]) -> Float[Tensor, "particles visible"]:
        """Where the chains have come to; the first of a training begin from its first batch."""
        hidden = self.chains.particles if self.persistent else None
        if hidden is None:
            hidden = sample_hidden(self.layer, visible)
        for _ in range(self.num_gibbs_steps - 1):
            _, hidden = gibbs_step(self.layer, hidden)
        return sample_visible(self.layer, hidden)

    def regroup(self, optimizer: Optimizer) -> None:
        """Takes the weight decay off the biases: how often a unit is on is not complexity."""
        for group in list(optimizer.param_groups):
            biases = [parameter for parameter in group["params"] if parameter.ndim == 1]
            group["params"] = [parameter for parameter in group["params"] if parameter.ndim > 1]
            optimizer.add_param_group({**group, "params": biases, "weight_decay": 0.0})

    def state_of_all_workers(self) -> dict[str, Tensor]:
        return self.chains.state_of_all_workers()

    def take_state(self, state: dict[str, Tensor]) -> None:
        self.chains.take_state(state, self.layer.weights.device)

    def start_validation(self) -> None:
        self._sum = torch.zeros_like(self.layer.visible_bias)
        self._free_energy, self._num_samples = 0.0, 0

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        visible = self.visible(batch)
        self._sum += visible.sum(0)
        self._free_energy += float(self.layer.free_energy(visible).double().sum())
        self._num_samples += len(visible)
        return {"validation/reconstruction_error": Mean.of(reconstruction_error(self.layer, visible))}

    def finish_validation(self) -> dict[str, float]:
        free_energy = self._free_energy / self._num_samples
        mean = self._sum / self._num_samples
        log_z = log_partition(self.layer, mean, _NUM_CHAINS, _NUM_TEMPERATURES, _EXACT_UP_TO).value
        return {"validation/log_likelihood": -free_energy - log_z}

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1 to the probabilities of the layer's hidden units."""
        steps = OrderedDict[str, nn.Module](flatten=nn.Flatten())
        for number, layer in enumerate([*self.below, self.layer]):
            steps |= {f"layer{number}": layer, f"probabilities{number}": nn.Sigmoid()}
        names = tuple(f"hidden unit {number}" for number in range(len(self.layer.hidden_bias)))
        output = ServedOutput("hidden", "values", (len(names),), names)
        return Served(nn.Sequential(steps), (served_image(data, self.inputs),), (output,))


def reconstruction_error(
    layer: BoltzmannLayer, visible: Float[Tensor, "batch visible"]
) -> Float[Tensor, " batch"]:
    """Mean squared difference of visible units to what comes back of them through hidden probabilities."""
    return (visible - layer.visible_mean(layer.hidden_probabilities(visible))).square().mean(1)
