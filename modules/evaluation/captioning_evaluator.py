"""Captions of images: how many are right, and whether attention looks at what is named.

metrics.json holds, of the test split, and with the name of each other split before it likewise:

exact             share of the captions that are, word by word, among all that are right; greedily
beam_exact        the same by beam search
bleu, beam_bleu   by sacrebleu, against all of them
cider             see `modules.metrics.cider`
nearest_exact     what the training image that looks most alike is called, likewise
nearest_bleu      the same
attention_mass    share of the attention within the pixels of a noun as the noun is written, where it is right
attention_chance  what it were, if attention were the same everywhere: the share of those pixels
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary
from modules.evaluation.caption_exhibits import BY_LENGTH, examples_table, series_by_length
from modules.evaluation.captions import Captions, captions_of, nearest_captions, text_scores
from modules.evaluation.exhibits import AnnotatedImage, Exhibit, Gallery
from modules.evaluation.findings import Chart, Findings
from modules.evaluation.image_tiles import pixels
from modules.models.multimodal.captioner import Captioner
from modules.tasks.sequence_to_sequence import SequenceToSequence

_NUM_SHOWN, _NUM_MAPPED = 12, 4


class CaptioningEvaluator:
    """Describes the test split, and others that are asked for.

    Args:
        batch_size: images at a time.
        beam_size: of the beam search.
        other_splits: measured too, such as one of compositions that training never shows.

    Raises:
        UserError: the beam is below 1.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "exact": "max",
        "beam_exact": "max",
        "bleu": "max",
        "beam_bleu": "max",
        "cider": "max",
        "nearest_exact": "max",
        "nearest_bleu": "max",
        "attention_mass": "max",
        "attention_chance": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("exact_by_length",)

    def __init__(
        self, batch_size: int = 100, beam_size: int = 5, other_splits: tuple[str, ...] | list[str] = ()
    ) -> None:
        if beam_size < 1:
            raise UserError(f"beam_size={beam_size} keeps no sequence", "Give 1 or more")
        self.batch_size, self.beam_size, self.other_splits = batch_size, beam_size, other_splits

    def evaluate(self, task: SequenceToSequence, data: ShardSet, plan: Plan) -> Findings:
        """Scores, a chart of them by length, examples, and where attention looked word by word."""
        test = captions_of(task, data, "test", self.batch_size, self.beam_size)
        metrics = test.scores()
        nearest = nearest_captions(task, data, "test", self.batch_size)
        scores = text_scores("nearest_", nearest, test.references)
        metrics |= {name: scores[name] for name in ("nearest_exact", "nearest_bleu")}
        for name in self.other_splits:
            other = captions_of(task, data, name, self.batch_size, self.beam_size)
            metrics |= {f"{name}_{key}": value for key, value in other.scores().items()}
        metrics |= self._looked(task, data, plan)
        examples = examples_table(test, nearest, "of the training image most alike")
        exhibits: list[Exhibit] = [_gallery(task, data, test), examples]
        if task.model.decoder.attention is not None:  # pyright: ignore
            exhibits.insert(1, _maps(task, data))
        chart = Chart("exact_by_length", *BY_LENGTH, series_by_length(test))
        return Findings(metrics, charts=[chart], exhibits=exhibits)

    @torch.no_grad()
    def _looked(self, task: SequenceToSequence, data: ShardSet, plan: Plan) -> dict[str, float]:
        """The attention's share within what is named; nothing without attention or masks."""
        fields = plan.data.fields
        mask = next((name for name, about in fields.items() if about.mask_of == task.source), None)
        if mask is None or not isinstance(task.model, Captioner) or task.model.decoder.attention is None:
            return {}
        classes = {name: number for number, name in enumerate(fields[mask].classes or []) if number}
        vocabulary = data.vocabularies[task.target]
        masses: list[float] = []
        chances: list[float] = []
        split = data.split("test")
        for first in range(0, split.num_samples, self.batch_size):
            numbers = np.arange(first, min(first + self.batch_size, split.num_samples))
            batch = {name: torch.from_numpy(values) for name, values in split.read(numbers).items()}
            tokens, weights, grid = looked_at(task, batch)
            for row, written in enumerate(tokens.tolist()):
                for place, token in enumerate(written):
                    number = classes.get(vocabulary.tokens[token].removesuffix("s"))
                    if number is None or not (inside := batch[mask][row] == number).any():
                        continue
                    shares = functional.adaptive_avg_pool2d(inside.float()[None], grid).flatten()
                    masses.append(float((weights[row, place] * (shares > 0)).sum()))
                    chances.append(float((shares > 0).float().mean()))
        return {"attention_mass": float(np.mean(masses)), "attention_chance": float(np.mean(chances))}


@torch.no_grad()
def looked_at(
    task: SequenceToSequence, batch: dict[str, Tensor]
) -> tuple[Int[Tensor, "batch written"], Float[Tensor, "batch written cells"], tuple[int, int]]:
    """What is written greedily, where was looked before each token, and rows and columns of the cells."""
    given = task.served_inputs(batch)
    tokens = task.written(batch, task.max_tokens)
    before = torch.cat([torch.full_like(tokens[:, :1], BEGIN), tokens[:, :-1]], dim=1)
    _, weights = task.model.attended(*given, before)  # pyright: ignore
    return tokens, weights, task.model.cells(given[0])  # pyright: ignore


def _maps(task: SequenceToSequence, data: ShardSet) -> Gallery:
    """An image for each word, with where was looked before it was written."""
    vocabulary, split = data.vocabularies[task.target], data.split("test")
    images = []
    for number in np.linspace(0, split.num_samples - 1, _NUM_MAPPED).astype(int).tolist():
        batch = {name: torch.from_numpy(some) for name, some in split.read(np.array([number])).items()}
        tokens, weights, grid = looked_at(task, batch)
        image = task.inputs(batch)[0]
        for word, map_ in zip(_words(vocabulary, tokens[0].tolist()), weights[0], strict=False):
            heat = functional.interpolate(map_.view(1, 1, *grid), image.shape[1:], mode="bilinear")[0, 0]
            images.append(AnnotatedImage(word, pixels(image), heat=(heat / heat.max()).numpy()))
    caption = (
        "Where the decoder looked before it wrote each word; the brightest place is as bright in every map."
    )
    return Gallery("attention", "Attention, word by word", caption, images)


def _words(vocabulary: Vocabulary, tokens: list[int]) -> list[str]:
    return [
        vocabulary.decode([token]) for token in (tokens[: tokens.index(END)] if END in tokens else tokens)
    ]


def _gallery(task: SequenceToSequence, data: ShardSet, found: Captions) -> Gallery:
    """Images spread over the split with what is written of them."""
    split = data.split("test")
    images = []
    for number in np.linspace(0, split.num_samples - 1, _NUM_SHOWN).astype(int).tolist():
        batch = {name: torch.from_numpy(some) for name, some in split.read(np.array([number])).items()}
        right = found.references[number]
        label = found.of_beam[number]
        label = label if label in right else f"{label} (right: {right[0]})"
        images.append(AnnotatedImage(label, pixels(task.inputs(batch)[0])))
    return Gallery("captions", "Captions", "Spread over the test split, by beam search.", images)
