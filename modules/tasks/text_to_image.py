"""Text to image by regression: each pixel as near as can be to the true one.

The squared error of Dosovitskiy, Springenberg & Brox (2015), arXiv 1411.5928, equation 1, without a mask.
What a text leaves open comes out as the mean of all that it could be: a baseline for generators that choose.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.metrics.mean import Mean
from modules.models.multimodal.text_image_generator import TextImageGenerator as Generator
from modules.tasks.image_inputs import image_inputs
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class ImageOfText(nn.Module):
    """From a text to an image of it, the noise being zeros."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, texts: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch channels height width"]:
        return self.generator(texts, length)


class TextToImage(Task):
    """Learns the mean image of a text.

    Batches hold images, [batch, channels, height, width], and texts, [batch, time] of int64 tokens between
    begin and end, with `<field>_length`.

    Args:
        model: generates images in 0..1 of texts.
        image: the field of images.
        text: the field of texts.
    """

    serves = True
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {"validation/loss": "min"}

    def __init__(self, model: nn.Module, image: str = "image", text: str = "caption") -> None:
        super().__init__(model)
        if not isinstance(model, Generator):
            raise ValueError(f"{type(model).__name__} generates no images of texts")
        self.image, self.text = image, text

    @property
    def generator(self) -> Generator:
        """What generates images."""
        return self.model  # pyright: ignore[reportReturnType]

    def inputs(self, batch: dict[str, Tensor]) -> Int[Tensor, "batch time"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The texts' tokens."""
        return batch[self.text]

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """The squared error of an image, a mean over its pixels and channels."""
        error = self.model(*self.served_inputs(batch)) - image_inputs(batch[self.image])
        return Mean.of(error.float().square().flatten(1).mean(dim=1))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        return {"validation/loss": self.loss(batch)}

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From texts to images."""
        return image_of_text(self.generator, self.text, self.image, data, vocabularies)

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch[self.text], batch[f"{self.text}_length"]


def image_of_text(
    generator: nn.Module,
    text: str,
    image: str,
    data: "DataSettings",
    vocabularies: "Mapping[str, Vocabulary]",
) -> Served:
    """What is served of a generator.

    Args:
        generator: of images.
        text: the field of texts.
        image: the field of images.
        data: settings of the dataset.
        vocabularies: of its fields of text.
    """
    given = ServedInput(text, "text", ("time",), vocabularies[text].to_plain())
    return Served(
        ImageOfText(generator), (given,), (ServedOutput(image, "image", tuple(data.fields[image].shape)),)
    )
