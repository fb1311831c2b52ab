"""From a class and a view to an image and its mask: dense layers, then deconvolutions up to the pixels.

Dosovitskiy, Springenberg & Brox (2015), *Learning to generate chairs with convolutional neural networks*,
section 3.2 (arXiv 1411.5928). The paper's c is `classes`, its v `view`, its h the layers before the maps, its
u the deconvolutions. Deviates: one stream up to the last maps, from which one layer reads image and mask, as
both have the same edges and two streams cost twice as much; deconvolutions of stride 2 instead of unpooling
and a convolution, of a kernel that is a multiple of the stride, so that no checkerboards come of it; no
transformations beside the view.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.activation import activation_layer
from modules.bricks.deconvolution import DeconvolutionLayer
from modules.bricks.dense import DenseLayer, dense_layers
from modules.bricks.field_standardisation import FieldStandardisation
from modules.bricks.normalisation import normalisation_layer

STRIDE = 2


class ViewGenerator(nn.Module):
    """Dense layers of the class and of the view, joined, then maps that each deconvolution doubles in size.

    Args:
        num_classes: classes, such as models of chairs.
        view_field: of the dataset that the views are, whose mean and deviation standardise them: an elevation
            that changes by a few degrees is heard as well as an azimuth that goes all around.
        view_size: numbers of a view.
        image_shape: (channels, height, width) of an image.
        class_size: neurons of the layer that sees the class alone.
        view_sizes: neurons of each layer that sees the view alone.
        joined_sizes: neurons of each layer that sees both.
        num_filters: channels of the first maps and of all after them but the last; as many deconvolutions.
        kernel_size: side of every filter, in pixels: even, a multiple of the stride.
        norm: normalisation of the hidden maps (see `modules.bricks.normalisation`).
        activation: nonlinearity of the hidden layers (see `modules.bricks.activation`); image and mask are
            linear.

    Raises:
        ValueError: a layer would have no neuron, the sides of the image cannot be halved that often, or the
            filters are of odd size.
    """

    def __init__(
        self,
        num_classes: int,
        view_field: str,
        view_size: int,
        image_shape: Sequence[int],
        class_size: int = 128,
        view_sizes: Sequence[int] = (128, 128),
        joined_sizes: Sequence[int] = (512,),
        num_filters: Sequence[int] = (128, 64, 32, 16),
        kernel_size: int = 4,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if not view_sizes or not num_filters or min(class_size, *view_sizes, *joined_sizes, *num_filters) < 1:
            raise ValueError(
                f"class_size={class_size}, view_sizes={list(view_sizes)}, joined_sizes={list(joined_sizes)},"
                f" num_filters={list(num_filters)}: a list is empty, or a size below 1"
            )
        channels, height, width = image_shape
        scale = STRIDE ** len(num_filters)
        if height % scale or width % scale:
            raise ValueError(
                f"{len(num_filters)} deconvolutions make sides that are multiples of {scale}, and the image"
                f" has {height}x{width} pixels"
            )
        if kernel_size < STRIDE or kernel_size % STRIDE:
            raise ValueError(f"kernel_size={kernel_size} is no multiple of {STRIDE}: it makes checkerboards")
        self.num_classes = num_classes
        self.view_size = view_size
        maps = (num_filters[0], height // scale, width // scale)
        self.of_class = DenseLayer(num_classes, class_size, activation)
        with torch.no_grad():  # one of its inputs is 1, and not all together of about that size
            self.of_class.linear.weight.mul_(num_classes**0.5)
        self.standardise = FieldStandardisation(view_field, view_size)
        self.of_view = nn.Sequential(*dense_layers([view_size, *view_sizes], activation, activation))
        sizes = [class_size + view_sizes[-1], *joined_sizes, maps[0] * maps[1] * maps[2]]
        self.joined = nn.Sequential(*dense_layers(sizes, activation, "identity"), nn.Unflatten(1, maps))
        self.first = nn.Sequential(normalisation_layer(norm, maps[0]), activation_layer(activation))
        window = (kernel_size, STRIDE, (kernel_size - STRIDE) // 2)
        self.upwards = nn.Sequential(
            *(
                DeconvolutionLayer(*pair, *window, norm=norm, activation=activation)
                for pair in pairwise(num_filters)
            )
        )
        self.pixels = DeconvolutionLayer(num_filters[-1], channels + 1, *window)

    def forward(
        self, classes: Float[Tensor, "batch num_classes"], view: Float[Tensor, "batch view_size"]
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch height width"]]:
        """The image, and the logits of its mask.

        Args:
            classes: one-hot, or a mixture of classes.
            view: sines and cosines of the angles.
        """
        joined = torch.cat([self.of_class(classes), self.of_view(self.standardise(view))], dim=1)
        pixels = self.pixels(self.upwards(self.first(self.joined(joined))))
        return pixels[:, :-1], pixels[:, -1]
