"""Descriptions of clips: how many are right, in whole and in parts, and what one frame alone would tell.

metrics.json holds, of the test split:

exact              share of the sentences that are, word by word, among all that are right; greedily
beam_exact         the same by beam search
bleu, beam_bleu    by sacrebleu, against all of them
cider              see `modules.metrics.cider`
verb_accuracy      of the sentences whose verb is right, with its direction; of sentences of the grammar of
                   `modules.datamodules.motion_grammar` alone, as are the next two
object_accuracy    that name the right things in the right colours, and no other
verb_and_object    both
nearest_...        what the training clip that looks most alike is called: the largest cosine of the means of
                   what the decoder is given
first_frame_...    what the same model writes of the first frame of each clip alone
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.motion_grammar import ACTIONS, said
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.caption_exhibits import BY_LENGTH, examples_table, series_by_length
from modules.evaluation.captions import Captions, captions_of, nearest_captions, text_scores
from modules.evaluation.exhibits import Animation, Exhibit, TextTable
from modules.evaluation.findings import Chart, Findings
from modules.evaluation.image_tiles import pixels
from modules.tasks.sequence_to_sequence import SequenceToSequence

_NUM_SHOWN, _FRAMES_PER_S, _SCALE = 8, 6.0, 4
_PARTS = ("verb_accuracy", "object_accuracy", "verb_and_object")


class VideoDescriptionEvaluator:
    """Describes the clips of the test split.

    Args:
        batch_size: clips at a time.
        beam_size: of the beam search.

    Raises:
        UserError: the beam is below 1.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "exact": "max",
        "beam_exact": "max",
        "bleu": "max",
        "beam_bleu": "max",
        "cider": "max",
        "verb_accuracy": "max",
        "object_accuracy": "max",
        "verb_and_object": "max",
        "nearest_exact": "max",
        "nearest_bleu": "max",
        "nearest_cider": "max",
        "nearest_verb_accuracy": "max",
        "nearest_object_accuracy": "max",
        "nearest_verb_and_object": "max",
        "first_frame_exact": "max",
        "first_frame_bleu": "max",
        "first_frame_cider": "max",
        "first_frame_verb_accuracy": "max",
        "first_frame_object_accuracy": "max",
        "first_frame_verb_and_object": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("exact_by_length",)

    def __init__(self, batch_size: int = 100, beam_size: int = 5) -> None:
        if beam_size < 1:
            raise UserError(f"beam_size={beam_size} keeps no sequence", "Give 1 or more")
        self.batch_size, self.beam_size = batch_size, beam_size

    def evaluate(self, task: SequenceToSequence, data: ShardSet, plan: Plan) -> Findings:
        """Scores, a chart of them by length, clips that play with their sentence, and tables."""
        test = captions_of(task, data, "test", self.batch_size, self.beam_size)
        nearest = nearest_captions(task, data, "test", self.batch_size)
        first = _of_first_frames(task, data, self.batch_size)
        metrics = test.scores() | part_scores("", test.written, test.references)
        for prefix, written in (("nearest_", nearest), ("first_frame_", first)):
            found = text_scores(prefix, written, test.references)
            found |= part_scores(prefix, written, test.references)
            metrics |= {name: value for name, value in found.items() if name in self.metrics}
        exhibits: list[Exhibit] = [*_clips(task, data, test)]
        if "verb_accuracy" in metrics:
            exhibits.append(_by_action(test))
        exhibits.append(examples_table(test, nearest, "of the training clip most alike"))
        chart = Chart("exact_by_length", *BY_LENGTH, series_by_length(test))
        return Findings(metrics, charts=[chart], exhibits=exhibits)


def part_scores(prefix: str, written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Shares of sentences whose verb is right, whose things are, and whose both are; nothing where no
    reference is a sentence of the grammar.

    Args:
        prefix: of the scores' names.
        written: a sentence of each clip.
        references: the right sentences of each, which say the same.
    """
    truth, found = [said(some[0]) for some in references], [said(text) for text in written]
    if not any(one.action for one in truth):
        return {}
    pairs = list(zip(found, truth, strict=True))
    verbs = np.array([own.action == right.action for own, right in pairs])
    things = np.array([own.things == right.things for own, right in pairs])
    shares = (verbs.mean(), things.mean(), (verbs & things).mean())
    return {prefix + name: float(share) for name, share in zip(_PARTS, shares, strict=True)}


def _of_first_frames(task: SequenceToSequence, data: ShardSet, batch_size: int) -> list[str]:
    vocabulary, source = data.vocabularies[task.target], task.source
    written: list[str] = []
    with torch.inference_mode():
        for batch in EvaluationLoader(data.split("test"), batch_size):
            first = {
                source: batch[source][:, :1],
                f"{source}_length": torch.ones_like(batch[f"{source}_length"]),
            }
            written += map(vocabulary.decode, task.written(batch | first, task.max_tokens).tolist())
    return written


def _clips(task: SequenceToSequence, data: ShardSet, found: Captions) -> list[Animation]:
    """Clips spread over the split, each with what is written of it."""
    split = data.split("test")
    shown: list[Animation] = []
    for number in np.linspace(0, split.num_samples - 1, _NUM_SHOWN).astype(int).tolist():
        batch = {name: torch.from_numpy(some) for name, some in split.read(np.array([number])).items()}
        frames = [
            pixels(frame).repeat(_SCALE, axis=0).repeat(_SCALE, axis=1) for frame in task.inputs(batch)[0]
        ]
        written, right = found.written[number], found.references[number]
        caption = f"Right: {right[0]}." if written not in right else "This is right."
        name = f"clip_{len(shown)}"
        shown.append(Animation(name, f"“{written}”", f"Test clip {number}. {caption}", frames, _FRAMES_PER_S))
    return shown


def _by_action(found: Captions) -> TextTable:
    """How often each action comes, and what is said in its place."""
    truth = [said(some[0]) for some in found.references]
    told: dict[str | None, list[tuple[str, bool]]] = defaultdict(list)
    for right, text in zip(truth, found.written, strict=True):
        own = said(text)
        told[right.action].append((own.action or "no verb", own.things == right.things))
    rows = []
    for action in [action for action in ACTIONS if action in told]:
        wrong = Counter(own for own, _ in told[action] if own != action)
        verbs = 1 - wrong.total() / len(told[action])
        things = np.mean([is_right for _, is_right in told[action]])
        instead = ", ".join(f"{name} ({count})" for name, count in wrong.most_common(4))
        rows.append([action, str(len(told[action])), f"{verbs:.1%}", f"{things:.1%}", instead])
    caption = (
        "Shares of the test clips of each action whose verb, with its direction, and whose things are right."
    )
    columns = ["action", "clips", "verb right", "things right", "said instead"]
    return TextTable("actions", "By action", caption, columns, rows)
