"""What is said of written texts: exact ones by length, BLEU, and figures beside them, on made-up pairs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.composition.compose import compose
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import END
from modules.evaluation.exhibits import Gallery, TextTable
from modules.evaluation.sequence_to_sequence_evaluator import SequenceToSequenceEvaluator
from modules.evaluation.translation_evaluator import TranslationEvaluator
from modules.models.recurrent.encoder_decoder import EncoderDecoder
from modules.tasks.sequence_to_sequence import SequenceToSequence
from tests.plans import plan_of
from tests.written_shards import write_samples


class CopiesUpTo(nn.Module):
    """Writes the source again, and of a longer one no more than some tokens."""

    def __init__(self, most: int, data: ShardSet) -> None:
        super().__init__()
        self.most = most
        source, target = data.vocabularies["source"], data.vocabularies["target"]
        self.same = torch.tensor([target.tokens.index(token) for token in source.tokens])

    def start(self, source: Tensor, length: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        kept = self.same[source]
        kept[:, self.most + 1 :] = torch.where(kept[:, self.most + 1 :] > 0, END, 0)
        return (kept,), (torch.zeros_like(length),)

    def step(self, token: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        (source,), (place,) = state
        place = place + 1
        following = source.gather(1, place.clamp(max=source.shape[1] - 1)[:, None])[:, 0]
        return 20 * nn.functional.one_hot(following, len(self.same)).float(), ((source,), (place,))

    def forward(self, source: Tensor, length: Tensor, target: Tensor) -> Tensor:
        state, logits = self.start(source, length), []
        for token in target.unbind(1):
            one, state = self.step(token, state)
            logits.append(one)
        return torch.stack(logits, 1)


def made(recipe: str, pairs: dict[str, list[tuple[str, str]]], folder: Path) -> tuple[ShardSet, object]:
    config = compose([f"recipe={recipe}"])
    for field in config["data"]["fields"].values():
        field["vocabulary"] = {"kind": "characters", "size": SIZE}
    plan = plan_of(config)
    samples = {
        split: ArraySamples(
            [str(n) for n in range(len(some))],
            {"source": [source for source, _ in some], "target": [target for _, target in some]},
        )
        for split, some in pairs.items()
    }
    plan.data.splits.clear()
    write_samples(samples, plan.data, folder)
    return ShardSet.open(folder, plan.data), plan


COPIED = [("abcdefghij klmnop", "abcdefghij klmnop")]
SIZE = 4 + 17


def test_exact_sequences_are_counted_by_length_and_beyond(tmp_path: Path) -> None:
    pairs = {
        "train": COPIED,
        "validation": COPIED,
        "test": [("ab", "ab"), ("abc", "abc"), ("abc", "abd"), ("abcd", "abcd")],
        "longer": [("abcdef", "abcdef"), ("abc", "abc")],
    }
    data, plan = made("reversal", pairs, tmp_path / "data")
    task = SequenceToSequence(CopiesUpTo(3, data)).eval()
    found = SequenceToSequenceEvaluator(batch_size=3).evaluate(task, data, plan)  # pyright: ignore
    # Right are ab and abc; of the tokens all but the two d.
    assert found.metrics == pytest.approx(
        {
            "sequence_accuracy": 0.5,
            "beam_sequence_accuracy": 0.5,
            "token_accuracy": 14 / 16,
            "longer_sequence_accuracy": 0.5,
            "num_sequences": 4.0,
        }
    )
    assert [series.points for series in found.charts[0].series] == [
        [(2.0, 1.0), (3.0, 0.5), (4.0, 0.0)],
        [(2.0, 1.0), (3.0, 0.5), (4.0, 0.0)],
        [(3.0, 1.0), (6.0, 0.0)],
    ]
    (table,) = found.exhibits
    assert isinstance(table, TextTable) and ["abc", "abd", "abc"] in table.rows[:2]


def test_scores_of_translations_and_of_what_needs_no_net(tmp_path: Path) -> None:
    sentence = "ab cd ef gh ij"
    pairs = {
        "train": [*COPIED, (f"{sentence} kl", "ab cd ef mn op"), ("kl mn", "pp pp pp pp pp")],
        "validation": COPIED,
        "test": [(sentence, sentence), ("kl mn ab cd ef", "kl mn ab cd ef")],
    }
    data, plan = made("messages_to_french", pairs, tmp_path / "data")
    task = SequenceToSequence(CopiesUpTo(30, data)).eval()
    found = TranslationEvaluator(batch_size=1, long=4).evaluate(task, data, plan)  # pyright: ignore
    metrics = found.metrics
    for name in ("bleu", "greedy_bleu", "chrf", "greedy_chrf", "bleu_long", "copied_bleu", "copied_chrf"):
        assert metrics[name] == pytest.approx(100.0), name
    assert "bleu_short" not in metrics and metrics["unknown"] == 0.0
    # The first finds its longer like, whose translation shares three words with it; the second finds `kl mn`.
    assert 0 < metrics["retrieved_bleu"] < 40
    short = SequenceToSequence(CopiesUpTo(8, data)).eval()
    cut = TranslationEvaluator(batch_size=2, long=4).evaluate(short, data, plan)  # pyright: ignore
    assert cut.metrics["bleu"] < 50 and cut.metrics["copied_bleu"] == pytest.approx(100.0)


def test_attention_is_shown_token_by_token(tmp_path: Path) -> None:
    data, plan = made("reversal", dict.fromkeys(("train", "validation", "test"), COPIED), tmp_path / "d")
    torch.manual_seed(0)
    task = SequenceToSequence(EncoderDecoder(SIZE, SIZE, 4, 6)).eval()
    found = SequenceToSequenceEvaluator().evaluate(task, data, plan)  # pyright: ignore
    (gallery,) = (one for one in found.exhibits if isinstance(one, Gallery))
    assert gallery.images[0].label == COPIED[0][0]
    assert gallery.images[0].pixels.shape[1] > 18 * 14
