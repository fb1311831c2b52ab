"""Classification: one label of several for each input, by the cross-entropy of a softmax.

Label smoothing after Szegedy et al. 2016, section 7 (arXiv 1512.00567); `label_smoothing` is the paper's
epsilon.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.metrics.mean import Mean
from modules.tasks.image_inputs import image_inputs, served_image
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class Classification(Task):
    """Learns to name the class of an image.

    Batches hold `image` ([batch, channels, height, width], uint8 0..255 or float 0..1) and `label`
    ([batch], int64).

    Args:
        model: takes images in 0..1 and returns logits, [batch, num_classes].
        num_classes: classes to choose from.
        label_smoothing: share of the target's probability spread evenly over all classes.
        augmentation: changes the images of each batch in training; None = images as they are.
        preprocessing: makes of every image what the model takes, such as another size.
        image: the field of images.
        label: the field of class numbers.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/accuracy": "max",
    }
    serves = True

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        label_smoothing: float = 0.0,
        augmentation: nn.Module | None = None,
        preprocessing: nn.Module | None = None,
        image: str = "image",
        label: str = "label",
    ) -> None:
        super().__init__(model)
        self.image = image
        self.label = label
        self.label_smoothing = label_smoothing
        self.augmentation = augmentation
        self.preprocessing = preprocessing
        self.num_classes = num_classes

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images as the model takes them, in the floating-point type that the precision asks for."""
        return image_inputs(batch[self.image], self.preprocessing)

    def training_inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """`inputs`, in training changed by the augmentation."""
        inputs = self.inputs(batch)
        return self.augmentation(inputs) if self.training and self.augmentation is not None else inputs

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        logits, label = self.training_logits(batch), batch[self.label]
        # Summed by the function itself: a pass less than `Mean.of` makes.
        total = functional.cross_entropy(logits, label, label_smoothing=self.label_smoothing, reduction="sum")
        return Mean(total, len(label))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        logits, label = self.logits(batch), batch[self.label]
        losses = functional.cross_entropy(
            logits, label, label_smoothing=self.label_smoothing, reduction="none"
        )
        return {
            "validation/loss": Mean.of(losses),
            "validation/accuracy": Mean.of(logits.argmax(dim=1) == label),
        }

    def probabilities(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        """The probability of each class, of a batch of raw fields."""
        return self.logits(batch).softmax(dim=1)

    def logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        """What the model says of a batch of raw fields."""
        return self.model(self.inputs(batch))

    def training_logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        """`logits`, in training of inputs changed by the augmentation."""
        return self.model(self.training_inputs(batch))

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1 to the probability of each class."""
        module = nn.Sequential(OrderedDict(model=self.model, probabilities=nn.Softmax(dim=1)))
        classes = tuple(data.fields[self.label].classes or ())
        output = ServedOutput(self.label, "classes", (len(classes),), classes)
        return Served(module, (served_image(data, self.inputs, self.image),), (output,))
