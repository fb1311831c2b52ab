"""Images and texts in one space: those that belong together come close, all others of a batch are kept apart.

ranking      sum over the others of max(0, margin - s(x, v) + s(x, v')), both ways: Kiros, Salakhutdinov &
Zemel
             (2014), arXiv 1411.2539, equation 5
contrastive  cross-entropy of the right one among all of the batch, both ways, of cosines by a temperature:
van
             den Oord, Li & Vinyals (2018), arXiv 1807.03748, equation 4; Radford et al. (2021), arXiv
             2103.00020

Texts that are equal keep nobody apart. Of several workers each sees the others of its own share of a batch
alone.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.metrics.mean import Mean
from modules.metrics.retrieval import ranks, recall
from modules.models.multimodal.joint_embedding import JointEmbedding
from modules.tasks.image_inputs import image_inputs, served_image
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class Similarity(nn.Module):
    """How close an image and a text are: the cosine of their vectors."""

    def __init__(self, model: JointEmbedding) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        texts: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch 1"]:
        image, text = self.model(images, texts, length)
        return (image * text).sum(dim=1, keepdim=True)


class ImageTextMatching(Task):
    """Learns which text belongs to which image.

    Batches hold images, [batch, channels, height, width], and texts, [batch, time] of int64 tokens between
    begin and end, with `<field>_length`.

    Args:
        model: gives vectors of length 1 of both.
        image: the field of images.
        text: the field of texts.
        objective: `ranking` or `contrastive`.
        margin: of `ranking`, between the right one's cosine and another's.
        temperature: of `contrastive`, that cosines are divided by.

    Raises:
        ValueError: the model gives no such vectors, or a margin or temperature is not above 0.
    """

    serves = True
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/text_recall_at_1": "max",
        "validation/image_recall_at_1": "max",
    }
    model: JointEmbedding

    def __init__(
        self,
        model: nn.Module,
        image: str = "image",
        text: str = "caption",
        objective: Literal["ranking", "contrastive"] = "contrastive",
        margin: float = 0.2,
        temperature: float = 0.07,
    ) -> None:
        super().__init__(model)
        if not isinstance(model, JointEmbedding):
            raise ValueError(f"{type(model).__name__} has no vectors of images and texts")
        if not margin > 0 or not temperature > 0:
            raise ValueError(f"margin={margin}, temperature={temperature}: give numbers above 0")
        self.image, self.text = image, text
        self.objective, self.margin, self.temperature = objective, margin, temperature
        self._images: list[Tensor] = []
        self._texts: list[Tensor] = []

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images in 0..1."""
        return image_inputs(batch[self.image])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        return Mean.of(self._losses(batch, *self.model(*self.served_inputs(batch))))

    def start_validation(self) -> None:
        self._images, self._texts = [], []

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        """The loss among a batch; the recalls come of the whole split."""
        images, texts = self.model(*self.served_inputs(batch))
        self._images.append(images)
        self._texts.append(texts)
        return {"validation/loss": Mean.of(self._losses(batch, images, texts))}

    def finish_validation(self) -> dict[str, float]:
        """R@1 of texts for images and of images for texts, among all that this worker has seen."""
        images, texts = torch.cat(self._images), torch.cat(self._texts)
        self._images, self._texts = [], []
        return {
            "validation/text_recall_at_1": recall(ranks(images, texts), 1),
            "validation/image_recall_at_1": recall(ranks(texts, images), 1),
        }

    def _losses(
        self,
        batch: dict[str, Tensor],
        images: Float[Tensor, "batch size"],
        texts: Float[Tensor, "batch size"],
    ) -> Float[Tensor, " batch"]:
        tokens = batch[self.text]
        scores = (images @ texts.T).float()
        own = torch.eye(len(tokens), dtype=torch.bool, device=tokens.device)
        ignored = (tokens[:, None] == tokens[None]).all(dim=2) & ~own
        if self.objective == "contrastive":
            logits = (scores / self.temperature).masked_fill(ignored, float("-inf"))
            right = torch.arange(len(tokens), device=tokens.device)
            both = [functional.cross_entropy(some, right, reduction="none") for some in (logits, logits.T)]
            return (both[0] + both[1]) / 2
        excess = self.margin + scores.masked_fill(ignored | own, float("-inf"))
        best = scores.diagonal()
        return (excess - best[:, None]).relu().sum(dim=1) + (excess - best[None]).relu().sum(dim=0)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images and texts to how close they are."""
        text = ServedInput(self.text, "text", ("time",), vocabularies[self.text].to_plain())
        output = ServedOutput("similarity", "score", (1,))
        return Served(Similarity(self.model), (served_image(data, self.inputs, self.image), text), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.inputs(batch), batch[self.text], batch[f"{self.text}_length"]
