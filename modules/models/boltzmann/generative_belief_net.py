"""The deep belief net that makes images: an associative memory of features and labels on directed layers.

Hinton, Osindero & Teh (2006), *A fast learning algorithm for deep belief nets*, Neural Computation 18, figure
1. The two topmost layers are a restricted Boltzmann machine, in which the label is known or made up together
with the features; below it, generative weights lead down to the pixels, and recognition weights up.

Deviates: an image goes up by the layers' probabilities when it is classified, not by samples of them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.boltzmann_layer import BoltzmannLayer
from modules.bricks.gibbs_sampling import sample_bernoulli, sample_hidden


class GenerativeBeliefNet(nn.Module):
    """Classifies images, and generates those of a given label.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of labels.
        hidden_sizes: units of each hidden layer, the lowest first; the last are the associative memory's own.

    Raises:
        ValueError: if there are fewer than two hidden layers.
    """

    def __init__(
        self, input_shape: Sequence[int], num_classes: int, hidden_sizes: Sequence[int] = (500, 500, 1000)
    ) -> None:
        super().__init__()
        if len(hidden_sizes) < 2:
            raise ValueError(
                f"hidden_sizes={list(hidden_sizes)}: an associative memory stands on one hidden layer or more"
            )
        *below, top = hidden_sizes
        sizes = [prod(input_shape), *below]
        self.num_classes = num_classes
        self.recognition = nn.ModuleList(nn.Linear(low, high) for low, high in pairwise(sizes))
        self.generation = nn.ModuleList(nn.Linear(high, low) for low, high in pairwise(sizes))
        self.top = BoltzmannLayer(sizes[-1] + num_classes, top)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits of the labels: the free energy of each of them with the image's features, negative.

        What all labels have in common is left out.
        """
        features = self.features(images)
        without_label = self.top(functional.pad(features, (0, self.num_classes)))
        each_label = without_label[:, None] + self.top.weights[:, -self.num_classes :].T
        return functional.softplus(each_label).sum(2) + self.top.visible_bias[-self.num_classes :]

    def features(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch features"]:
        """What the recognition weights lead up to, by probabilities."""
        features = images.flatten(1)
        for layer in self.recognition:
            features = layer(features).sigmoid()
        return features

    def gibbs_step(
        self, hidden: Float[Tensor, "batch top"], label: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch visible"], Float[Tensor, "batch top"]]:
        """One step of the associative memory's chain.

        Args:
            hidden: states of its own units.
            label: held fixed; None = sampled too, one of them from their softmax (section 6.2 of the paper).

        Returns:
            new states of features and label, one after the other, and of its own units given these.
        """
        logits = functional.linear(hidden, self.top.weights.T, self.top.visible_bias)
        features = sample_bernoulli(logits[:, : -self.num_classes].sigmoid())
        if label is None:
            label = logits[:, -self.num_classes :].softmax(1).multinomial(1)[:, 0]
        visible = self.memorised(features, label)
        return visible, sample_hidden(self.top, visible)

    def memorised(
        self, features: Float[Tensor, "batch features"], label: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch visible"]:
        """Visible states of the associative memory: features, then the label as one of many."""
        return torch.cat([features, functional.one_hot(label, self.num_classes).to(features.dtype)], dim=1)

    def decode(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch pixels"]:
        """The pixels that features lead down to, by means."""
        for layer in reversed(self.generation):
            features = layer(features).sigmoid()
        return features


class Untied:
    """Weights of a deep belief net as the first ones of recognition and generation."""

    def __call__(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The generative net's weights below its memory; none where `found` are those of another model."""
        num_layers = sum(name.startswith("layers.") and name.endswith(".weights") for name in found)
        untied = {}
        for layer in range(num_layers):
            weights = found[f"layers.{layer}.weights"]
            untied |= {
                f"recognition.{layer}.weight": weights,
                f"recognition.{layer}.bias": found[f"layers.{layer}.hidden_bias"],
                f"generation.{layer}.weight": weights.T,
                f"generation.{layer}.bias": found[f"layers.{layer}.visible_bias"],
            }
        return untied
