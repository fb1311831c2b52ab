"""Images and texts in one space: how often one finds the other among a whole split.

metrics.json holds, of the test split, and with the name of each other split before it likewise:

image_recall_at_1, _5, _10   share of the texts whose image is among the closest 1, 5, 10 of all
text_recall_at_1, _5, _10    share of the images whose text is
image_median_rank, text_median_rank    where the right one stands in the middle case, 1 = first
num_candidates               how many there are: by chance R@1 is one of so many
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import BEGIN, END, UNKNOWN, Vocabulary
from modules.evaluation.exhibits import Exhibit, ImageStrips, Strip, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.metrics.retrieval import ranks, recall
from modules.tasks.image_text_matching import ImageTextMatching

_AT = (1, 5, 10)
_NUM_SHOWN, _NUM_FOUND = 8, 6


class JointEmbeddingEvaluator:
    """Looks for each text's image and for each image's text.

    Args:
        batch_size: samples at a time.
        other_splits: measured too, such as one of compositions that training never shows.
        arithmetic: rows of two texts: the first is taken from an image's vector, the second added, and the
            image that lies closest is shown (Kiros, Salakhutdinov & Zemel 2014, section 3.2).

    Raises:
        UserError: a row is not of two texts.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "image_recall_at_1": "max",
        "image_recall_at_5": "max",
        "image_recall_at_10": "max",
        "text_recall_at_1": "max",
        "text_recall_at_5": "max",
        "text_recall_at_10": "max",
        "image_median_rank": "min",
        "text_median_rank": "min",
    }
    charts: ClassVar[tuple[str, ...]] = ("recall",)

    def __init__(
        self,
        batch_size: int = 200,
        other_splits: tuple[str, ...] | list[str] = (),
        arithmetic: tuple[tuple[str, str], ...] | list[list[str]] = (),
    ) -> None:
        if wrong := next((row for row in arithmetic if len(row) != 2), None):
            raise UserError(f"arithmetic has {list(wrong)}", "Write rows of two texts, [brown, black]")
        self.batch_size, self.other_splits, self.arithmetic = batch_size, other_splits, arithmetic

    @torch.no_grad()
    def evaluate(self, task: ImageTextMatching, data: ShardSet, plan: Plan) -> Findings:
        """Recalls, a chart of them, and what was found."""
        images, texts = self._vectors(task, data, "test")
        places = _places(images, texts)
        metrics = _recalls("", places)
        for name in self.other_splits:
            metrics |= _recalls(f"{name}_", _places(*self._vectors(task, data, name)))
        exhibits: list[Exhibit] = [
            _images_found(task, data, images, texts),
            _texts_found(task, data, images, texts),
        ]
        if self.arithmetic:
            exhibits.append(self._arithmetic(task, data, images))
        return Findings(metrics, charts=[_chart(places)], exhibits=exhibits)

    def _vectors(
        self, task: ImageTextMatching, data: ShardSet, split: str
    ) -> tuple[Float[Tensor, "samples size"], Float[Tensor, "samples size"]]:
        found = [
            task.model(*task.served_inputs(batch))
            for batch in EvaluationLoader(data.split(split), self.batch_size)
        ]
        return torch.cat([image for image, _ in found]), torch.cat([text for _, text in found])

    def _arithmetic(self, task: ImageTextMatching, data: ShardSet, images: Tensor) -> ImageStrips:
        """For each row some images of what is taken away, and what lies closest once it is replaced."""
        vocabulary = data.vocabularies[task.text]
        strips = []
        for away, added in self.arithmetic:
            old, new = (text_vector(task, vocabulary, text) for text in (away, added))
            for start in (images @ old).topk(2).indices.tolist():
                moved = functional.normalize(images[start] - old + new, dim=0)
                order = (images @ moved).argsort(descending=True).tolist()
                shown = [start, *[number for number in order if number != start][:_NUM_FOUND]]
                strips.append(Strip(f"- {away} + {added}", _pixels(task, data, shown)))
        columns = ["image", *["closest", *[""] * (_NUM_FOUND - 1)]]
        caption = (
            "An image's vector, less that of one text, plus that of another: the images that lie closest."
        )
        return ImageStrips("arithmetic", "Arithmetic", caption, columns, strips)


def text_vector(task: ImageTextMatching, vocabulary: Vocabulary, text: str) -> Float[Tensor, " size"]:
    """The vector of one text.

    Raises:
        UserError: it has a word that the model does not know.
    """
    tokens = vocabulary.encode(text)
    if UNKNOWN in tokens or not tokens:
        raise UserError(f"{text!r} has words that the model does not know", "Take words of its vocabulary")
    given = torch.tensor([[BEGIN, *tokens, END]])
    return task.model.of_texts(given, torch.tensor([given.shape[1]]))[0]


def _places(images: Tensor, texts: Tensor) -> dict[str, Int[Tensor, " samples"]]:
    """Where each right one stands: the image of a text, and the text of an image."""
    return {"image": ranks(texts, images), "text": ranks(images, texts)}


def _recalls(prefix: str, ranked: dict[str, Tensor]) -> dict[str, float]:
    found: dict[str, float] = {f"{prefix}num_candidates": float(len(ranked["image"]))}
    for name, places in ranked.items():
        found |= {f"{prefix}{name}_recall_at_{most}": recall(places, most) for most in _AT}
        found[f"{prefix}{name}_median_rank"] = float(places.double().median()) + 1
    return found


def _chart(ranked: dict[str, Tensor]) -> Chart:
    series, count = [], len(ranked["image"])
    for name, places in (("images of a text", ranked["image"]), ("texts of an image", ranked["text"])):
        points = [
            (float(most), recall(places, most)) for most in (1, 2, 3, 5, 10, 20, 50, 100) if most <= count
        ]
        series.append(Series(name, points))
    series.append(Series("chance", [(x, x / count) for x, _ in series[0].points]))
    return Chart(
        "recall",
        "Recall",
        f"Share whose right one is among the closest of {count}, by how many are looked at.",
        "lines",
        "looked at",
        "recall",
        series,
        log_x=True,
    )


def _spread(count: int) -> list[int]:
    return np.linspace(0, count - 1, min(_NUM_SHOWN, count)).astype(int).tolist()


def _images_found(task: ImageTextMatching, data: ShardSet, images: Tensor, texts: Tensor) -> ImageStrips:
    said = _texts(task, data, _spread(len(texts)))
    strips = [
        Strip(
            text,
            _pixels(
                task,
                data,
                [number, *(images @ texts[number]).topk(min(_NUM_FOUND, len(images))).indices.tolist()],
            ),
        )
        for number, text in zip(_spread(len(texts)), said, strict=True)
    ]
    columns = ["its image", "closest", *[""] * (min(_NUM_FOUND, len(images)) - 1)]
    caption = (
        "Texts spread over the test split: the image of each, and those that lie closest, the closest first."
    )
    return ImageStrips("images_found", "Images found for a text", caption, columns, strips)


def _texts_found(task: ImageTextMatching, data: ShardSet, images: Tensor, texts: Tensor) -> TextTable:
    rows = []
    for number in _spread(len(images)):
        closest = (texts @ images[number]).topk(min(3, len(texts))).indices.tolist()
        own, *found = _texts(task, data, [number, *closest])
        place = int(ranks(images[number : number + 1], texts, torch.tensor([number]))[0]) + 1
        rows.append([own, "\n".join(found), str(place)])
    caption = "Images spread over the test split: the text of each, those that lie closest, and its place."
    return TextTable(
        "texts_found", "Texts found for an image", caption, ["its text", "closest", "place"], rows
    )


def _texts(task: ImageTextMatching, data: ShardSet, numbers: list[int]) -> list[str]:
    tokens = data.split("test").read(np.array(numbers))[task.text]
    return [data.vocabularies[task.text].decode(row) for row in tokens.tolist()]


def _pixels(task: ImageTextMatching, data: ShardSet, numbers: list[int]) -> list[np.ndarray]:
    batch = {
        name: torch.from_numpy(some) for name, some in data.split("test").read(np.array(numbers)).items()
    }
    return [pixels(image) for image in task.inputs(batch)]
