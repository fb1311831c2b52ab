"""The deep belief net: restricted Boltzmann machines one on top of the other.

Hinton, Osindero & Teh (2006), *A fast learning algorithm for deep belief nets*, Neural Computation 18. Each
layer is trained as a machine on the features of the layer below (`modules.tasks.contrastive_divergence`);
then the stack is unrolled to a perceptron, upwards by the layers' probabilities, and fine-tuned by
backpropagation (Hinton & Salakhutdinov 2006, Science 313).

Deviates: the labels are no units of the top machine; they are outputs of a layer above it. Dropout.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.boltzmann_layer import BoltzmannLayer
from modules.bricks.dense import DenseLayer


class DeepBeliefNet(nn.Module):
    """Layers of Bernoulli units, then one linear neuron for each class.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs.
        hidden_sizes: units of each hidden layer, the lowest first.
        dropout: share of each hidden layer's probabilities set to zero while the perceptron is trained.

    Raises:
        ValueError: if there is no hidden layer.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        hidden_sizes: Sequence[int] = (500, 500),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not hidden_sizes:
            raise ValueError("hidden_sizes is empty: a deep belief net has one hidden layer or more")
        sizes = [prod(input_shape), *hidden_sizes]
        self.layers = nn.ModuleList(BoltzmannLayer(below, above) for below, above in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.output = DenseLayer(sizes[-1], num_classes)
        for layer in self.layers:
            layer.visible_bias.requires_grad_(False)  # no part of the way up: what makes images needs it

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        features = images.flatten(1)
        for layer in self.layers:
            features = self.dropout(layer(features).sigmoid())
        return self.output(features)

    def boltzmann_layers(self) -> list[BoltzmannLayer]:
        """The machines that it is pretrained as, the lowest first."""
        return [layer for layer in self.layers if isinstance(layer, BoltzmannLayer)]
