"""A language model beside a recogniser: the same as the model says of whole texts, by the labels' texts."""

import itertools

import numpy as np
import pytest
import torch

from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import BEGIN, SPECIAL, Vocabulary
from modules.generation.ctc_decoding import beam_search
from modules.generation.label_language_model import LabelLanguageModel, TrainedLanguageModel
from modules.models.recurrent.recurrent_language_model import RecurrentLanguageModel

OWN = Vocabulary("characters", (*SPECIAL, *"ABdcba"))
LABELS = Vocabulary("characters", (*SPECIAL, *"acb"))


def trained(cell: str = "lstm", num_layers: int = 2) -> TrainedLanguageModel:
    torch.manual_seed(3)
    model = RecurrentLanguageModel(len(OWN), 5, 7, num_layers, cell)  # pyright: ignore[reportArgumentType]
    for weight in model.parameters():
        weight.data *= 3
    return TrainedLanguageModel(model.eval(), OWN)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_it_says_what_the_model_says_of_the_whole_prefix(cell: str) -> None:
    given = trained(cell)
    asked = LabelLanguageModel(given, LABELS)
    order = [OWN.tokens.index(token) for token in LABELS.tokens]
    prefixes = [p for n in range(4) for p in itertools.product(range(4, 7), repeat=n)]
    np.random.default_rng(0).shuffle(prefixes)  # also those whose beginnings nobody asked for
    for prefix in map(tuple, prefixes):
        own = torch.tensor([[BEGIN, *(order[label] for label in prefix)]])
        assert isinstance(given.model, RecurrentLanguageModel)
        with torch.no_grad():
            logits = given.model(own)[0][0, -1, order].double()
        expected = logits[1:].log_softmax(dim=0).numpy()
        found = asked(prefix)
        assert found[0] == 0 and found[1:] == pytest.approx(expected, abs=1e-5)
        assert np.exp(found[1:]).sum() == pytest.approx(1)


def test_beam_search_adds_it_up_and_the_weight_0_changes_nothing() -> None:
    asked = LabelLanguageModel(trained(), LABELS)
    logits = torch.randn(3, 6, len(LABELS), generator=torch.Generator().manual_seed(1))
    frames = torch.tensor([6, 4, 0])
    plain = beam_search(logits, frames, 5)
    without = beam_search(logits, frames, 5, language_model=asked, alpha=0.0)
    assert [[one.tokens for one in sample] for sample in without] == [
        [one.tokens for one in sample] for sample in plain
    ]
    for sample in beam_search(logits, frames, 5, language_model=asked, alpha=0.5, beta=0.25):
        for one in sample:
            said = [asked(one.tokens[:place])[label] for place, label in enumerate(one.tokens)]
            expected = one.log_probability + 0.5 * sum(said) + 0.25 * len(said)
            assert one.score == pytest.approx(expected, abs=1e-9)


def test_apostrophes_are_one_character() -> None:
    model = trained().model
    printed = TrainedLanguageModel(model, Vocabulary("characters", (*SPECIAL, *"AB’cba")))
    found = LabelLanguageModel(printed, Vocabulary("characters", (*SPECIAL, *"'ab")))
    assert found.tokens.tolist() == [0, 1, 2, 3, 6, 9, 8]


@pytest.mark.parametrize(
    ("kind", "tokens", "message"),
    [
        ("characters", "axé", "the language model does not know 'x', 'é', which the recogniser can say"),
        ("words", ["one", "two", "three", "four"], "does not know 'one', 'two', 'three' and 1 more, which"),
    ],
)
def test_an_unknown_label_is_one_line(kind: str, tokens: str | list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        LabelLanguageModel(trained(), Vocabulary(kind, (*SPECIAL, *tokens)))
    assert "\n" not in str(caught.value)
