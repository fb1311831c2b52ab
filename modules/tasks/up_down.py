"""The up-down algorithm: a deep belief net learns to make images and their labels, all layers at once.

Hinton, Osindero & Teh (2006), *A fast learning algorithm for deep belief nets*, Neural Computation 18,
section 5 and appendix B: a contrastive form of wake-sleep (Hinton, Dayan, Frey & Neal 1995, Science 268). Up:
states are sampled by the recognition weights, and the generative ones learn to lead back to what was below.
At the top contrastive divergence teaches the associative memory which features go with which label. Down:
from what the memory makes up, states are sampled by the generative weights, and the recognition ones learn
to lead back to what was above.

Deviates: the memory's chains are persistent (Tieleman 2008); the paper's begin with the up-pass. Grey levels
are targets of the up-pass as they are. In the memory's statistics its own units are at their probabilities.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.gibbs_sampling import sample_bernoulli, sample_hidden
from modules.metrics.mean import Mean
from modules.models.boltzmann.generative_belief_net import GenerativeBeliefNet
from modules.tasks.classification import Classification
from modules.tasks.persistent_chains import PersistentChains


class UpDown(Classification):
    """Learns the joint distribution of images and labels; the likeliest label names an image.

    Batches hold `image` ([batch, channels, height, width], uint8 0..255 or float 0..1) and `label`
    ([batch], int64).

    Args:
        model: the net that is to classify and to generate.
        num_classes: labels to choose from.
        num_gibbs_steps: of the associative memory's chains, for each step of the weights.
        augmentation: changes the images of each batch in training; None = images as they are.

    Raises:
        ValueError: if the model has no associative memory, or `num_gibbs_steps` is below 1.
    """

    model: GenerativeBeliefNet

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_gibbs_steps: int = 1,
        augmentation: nn.Module | None = None,
    ) -> None:
        super().__init__(model, num_classes, augmentation=augmentation)
        if not isinstance(model, GenerativeBeliefNet):
            raise ValueError(f"{type(model).__name__} has no associative memory: up-down needs one")
        if num_gibbs_steps < 1:
            raise ValueError(f"num_gibbs_steps={num_gibbs_steps} is below 1: nothing would be sampled")
        self.chains = PersistentChains()
        self.num_gibbs_steps = num_gibbs_steps

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        model, top = self.model, self.model.top
        with torch.no_grad():
            states = [self.training_inputs(batch).flatten(1)]
            for layer in model.recognition:
                states.append(sample_bernoulli(layer(states[-1]).sigmoid()))
            memorised = model.memorised(states[-1], batch["label"])
            if self.chains.particles is None:
                self.chains.particles = sample_hidden(top, memorised)
            fantasy = memorised
            for _ in range(self.num_gibbs_steps):
                fantasy, self.chains.particles = model.gibbs_step(self.chains.particles)
            dreams = [fantasy[:, : -model.num_classes]]
            for layer in reversed(model.generation):
                dreams.insert(0, sample_bernoulli(layer(dreams[0]).sigmoid()))
            likely = [top.hidden_probabilities(visible) for visible in (memorised, fantasy)]
        cost = top.energy(memorised, likely[0]).mean() - top.energy(fantasy, likely[1]).mean()
        for level, (down, up) in enumerate(zip(model.generation, model.recognition, strict=True)):
            cost = cost + _surprise(down(states[level + 1]), states[level])
            cost = cost + _surprise(up(dreams[level]), dreams[level + 1])
        return Mean.of_mean(cost, len(memorised))

    def state_of_all_workers(self) -> dict[str, Tensor]:
        return self.chains.state_of_all_workers()

    def take_state(self, state: dict[str, Tensor]) -> None:
        self.chains.take_state(state, self.model.top.weights.device)


def _surprise(
    logits: Float[Tensor, "batch units"], states: Float[Tensor, "batch units"]
) -> Float[Tensor, ""]:
    """Nats by which a layer's states are unexpected, mean over the batch."""
    return functional.binary_cross_entropy_with_logits(logits, states, reduction="sum") / len(states)
