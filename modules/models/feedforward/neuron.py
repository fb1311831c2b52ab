"""One layer of sigmoid neurons, one for each class: logistic regression.

Cox (1958), *The regression analysis of binary sequences*; as a net of one layer: Widrow & Hoff (1960). The
sigmoid (with many classes the softmax) belongs to the loss: the model returns the neurons' potentials.
"""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.dense import DenseLayer


class Neuron(nn.Module):
    """Each class weighs every pixel.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of neurons.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.output = DenseLayer(prod(input_shape), num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        return self.output(images.flatten(1))
