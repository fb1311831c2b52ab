"""Images of texts: whether another model finds the right text for them, and whether they differ.

A judge, a joint embedding of images and texts that was trained on real images, looks at an image and says
which of 100 texts belongs to it (Reed et al. 2016, arXiv 1605.05396, section 5, asked people). metrics.json
holds, of the test split, and with the name of each other split before it likewise:

right_of_100         share of the generated images for which the judge finds the right text among 100
real_right_of_100    the same of the split's real images: more cannot be asked for
variety              how far generated images of one text lie apart, by how far real ones do: the mean
distance
                     of two images, all pixels together; 0 = all of a text are the same
num_texts            texts to choose from, where the data has fewer than 100
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary
from modules.evaluation.captions import references_of
from modules.evaluation.exhibits import Animation, Exhibit, ImageStrips, Strip
from modules.evaluation.findings import Findings
from modules.evaluation.image_tiles import pixels, tiles
from modules.metrics.retrieval import ranks
from modules.tasks.adversarial_text_to_image import AdversarialTextToImage
from modules.tasks.image_inputs import image_inputs
from modules.tasks.image_text_matching import ImageTextMatching
from modules.tasks.task import Task
from modules.tasks.text_to_image import TextToImage

_NUM_TEXTS, _NUM_OF_ONE, _NUM_SHOWN = 100, 8, 8
_NUM_FRAMES, _FRAMES_PER_S, _SCALE = 24, 8.0, 3


class TextToImageEvaluator:
    """Generates an image of each text, and asks the judge.

    Args:
        judge: a trained joint embedding of the same data: a registered model (`thing_embedding@champion`),
            or a folder of runs/ or build/train/.
        batch_size: images at a time.
        other_splits: measured too, such as one of texts that training never shows.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "right_of_100": "max",
        "real_right_of_100": "max",
        "variety": "max",
    }
    asks = "judge"

    def __init__(
        self, judge: str, batch_size: int = 200, other_splits: tuple[str, ...] | list[str] = ()
    ) -> None:
        self.judge, self.batch_size, self.other_splits = judge, batch_size, other_splits
        self._judge: ImageTextMatching | None = None
        self._known: Vocabulary | None = None

    def take(self, task: Task, vocabularies: Mapping[str, Vocabulary]) -> None:
        """See `modules.evaluation.evaluator.AsksTrainedModel`.

        Raises:
            UserError: it is no joint embedding.
        """
        if not isinstance(task, ImageTextMatching):
            raise UserError(
                f"judge={self.judge} was trained for {type(task).__name__}",
                "Name a joint embedding, such as build/train/thing_embedding",
            )
        self._judge, self._known = task, vocabularies[task.text]

    @torch.no_grad()
    def evaluate(self, task: TextToImage | AdversarialTextToImage, data: ShardSet, plan: Plan) -> Findings:
        """Figures, images beside real ones, and one text turning into another.

        Raises:
            UserError: the judge reads other tokens.
        """
        vocabulary = data.vocabularies[task.text]
        if self._judge is None or self._known is None:
            raise ValueError("nobody took a judge")
        if self._known.sha256() != vocabulary.sha256():
            raise UserError(f"judge={self.judge} was trained on other tokens", "Train it on the same dataset")
        splits = ["test", *self.other_splits]
        references = {name: [some[0] for some in references_of(task.text, data, name)] for name in splits}
        texts = sorted(set().union(*references.values()))
        metrics: dict[str, float] = {"num_texts": float(min(len(texts), _NUM_TEXTS))}
        for name in splits:
            found = self._measure(task, self._judge, data, name, texts, references[name])
            metrics |= found if name == "test" else {f"{name}_{key}": value for key, value in found.items()}
        exhibits: list[Exhibit] = [_beside_real(task, data, name, references[name]) for name in splits]
        exhibits.append(_turning(task, vocabulary, texts[0], texts[-1]))
        return Findings(metrics, exhibits=exhibits)

    def _measure(
        self,
        task: TextToImage | AdversarialTextToImage,
        judge: ImageTextMatching,
        data: ShardSet,
        split: str,
        texts: list[str],
        right: list[str],
    ) -> dict[str, float]:
        known = _vectors(judge, data.vocabularies[task.text], texts)
        noise = torch.Generator().manual_seed(0)
        candidates = np.random.default_rng(0)
        hits: list[bool] = []
        real_hits: list[bool] = []
        first = 0
        for batch in EvaluationLoader(data.split(split), self.batch_size):
            tokens, length = task.served_inputs(batch)
            made = generated(task, tokens, length, noise)
            vectors, real = (
                judge.model.of_images(made),
                judge.model.of_images(image_inputs(batch[task.image])),
            )
            for row, text in enumerate(right[first : first + len(made)]):
                own = texts.index(text)
                others = candidates.permutation([n for n in range(len(texts)) if n != own])[: _NUM_TEXTS - 1]
                answers = known[[own, *others.tolist()]]
                zero = torch.zeros(1, dtype=torch.int64)
                hits.append(int(ranks(vectors[row : row + 1], answers, zero)) == 0)
                real_hits.append(int(ranks(real[row : row + 1], answers, zero)) == 0)
            first += len(made)
        return {
            "right_of_100": float(np.mean(hits)),
            "real_right_of_100": float(np.mean(real_hits)),
            "variety": _variety(task, data, split, right),
        }


def generated(
    task: TextToImage | AdversarialTextToImage,
    texts: Tensor,
    length: Tensor,
    generator: torch.Generator,
) -> Float[Tensor, "batch channels height width"]:
    """Images in 0..1 of texts, of random noise.

    Args:
        task: whose generator generates.
        texts: tokens, padded.
        length: tokens of each text.
        generator: of the noise.
    """
    noise = torch.randn(len(texts), task.generator.noise_size, generator=generator)
    return task.generator(texts, length, noise.to(texts.device))


def _tokens(vocabulary: Vocabulary, texts: list[str]) -> tuple[Tensor, Tensor]:
    rows = [torch.tensor([BEGIN, *vocabulary.encode(text), END]) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def _vectors(
    judge: ImageTextMatching, vocabulary: Vocabulary, texts: list[str]
) -> Float[Tensor, "texts size"]:
    return judge.model.of_texts(*_tokens(vocabulary, texts))


def _variety(
    task: TextToImage | AdversarialTextToImage, data: ShardSet, split: str, right: list[str]
) -> float:
    """The mean over texts of which there are several real images; 0 where there is none."""
    by_text: dict[str, list[int]] = {}
    for number, text in enumerate(right):
        by_text.setdefault(text, []).append(number)
    chosen = {text: some[:_NUM_OF_ONE] for text, some in by_text.items() if len(some) > 1}
    generator, ratios = torch.Generator().manual_seed(1), []
    for text, numbers in chosen.items():
        real = _real(task, data, split, numbers)
        tokens, length = _tokens(data.vocabularies[task.text], [text] * len(numbers))
        made = generated(task, tokens, length, generator)
        apart = [float(torch.pdist(some.flatten(1).float()).mean()) for some in (made, real)]
        ratios.append(apart[0] / max(apart[1], 1e-9))
    return float(np.mean(ratios)) if ratios else 0.0


def _real(
    task: TextToImage | AdversarialTextToImage, data: ShardSet, split: str, numbers: list[int]
) -> Float[Tensor, "images channels height width"]:
    return image_inputs(torch.from_numpy(data.split(split).read(np.array(numbers))[task.image]))


def _beside_real(
    task: TextToImage | AdversarialTextToImage, data: ShardSet, split: str, right: list[str]
) -> ImageStrips:
    numbers = np.linspace(0, len(right) - 1, min(_NUM_SHOWN, len(right))).astype(int).tolist()
    generator, strips = torch.Generator().manual_seed(2), []
    for number in numbers:
        tokens, length = _tokens(data.vocabularies[task.text], [right[number]] * _NUM_OF_ONE)
        images = [*_real(task, data, split, [number]), *generated(task, tokens, length, generator)]
        strips.append(Strip(right[number], [pixels(image) for image in images]))
    columns = ["real", "generated", *[""] * (_NUM_OF_ONE - 1)]
    caption = f"Texts spread over the split {split}: its image of each, and images of eight random noises."
    return ImageStrips(f"generated_{split}", f"Images of texts, {split}", caption, columns, strips)


def _turning(
    task: TextToImage | AdversarialTextToImage, vocabulary: Vocabulary, one: str, other: str
) -> Animation:
    tokens, length = _tokens(vocabulary, [one, other])
    first, last = task.generator.text(tokens, length)
    share = torch.linspace(0, 1, _NUM_FRAMES)[:, None]
    vectors = (1 - share) * first + share * last
    size = task.generator.noise_size
    noise = torch.randn(6, size, generator=torch.Generator().manual_seed(3))
    images = [task.generator.of_vectors(vectors, row.expand(_NUM_FRAMES, size)) for row in noise]
    frames = [
        tiles(torch.stack([some[n] for some in images]), len(images), _SCALE) for n in range(_NUM_FRAMES)
    ]
    caption = f"From {one!r} to {other!r} through the vectors between, of six random noises."
    return Animation("turning", "One text turns into another", caption, frames, _FRAMES_PER_S)
