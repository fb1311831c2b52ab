"""Beam search against every sequence there is, and against greedy decoding."""

from itertools import product

import pytest
import torch
from torch import Tensor

from modules.generation.beam_search import State, beam_search
from modules.generation.decoding import greedy

END, LONGEST, VOCABULARY = 2, 4, 4


class Table:
    """Logits by the sample and the last two tokens: what is likeliest at first need not be in the end.

    Args:
        logits: [samples, tokens, tokens, tokens].
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def begin(self) -> State:
        samples = torch.arange(len(self.logits))
        return (samples,), (torch.zeros_like(samples),)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        (samples,), (before,) = state
        return self.logits[samples, before, token], ((samples,), (token,))


def score(logits: Tensor, tokens: tuple[int, ...], alpha: float) -> float:
    total, before, last = 0.0, 0, 1
    for token in tokens:
        total += float(logits[before, last].log_softmax(0)[token])
        before, last = last, token
    return total / ((5 + len(tokens)) / 6) ** alpha


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(alpha: float) -> None:
    torch.manual_seed(0)
    table = Table(3 * torch.randn(20, VOCABULARY, VOCABULARY, VOCABULARY))
    token = torch.ones(20, dtype=torch.int64)
    beam = VOCABULARY**LONGEST
    found, scores = beam_search(table, token, table.begin(), LONGEST, END, beam, alpha)
    others = [token for token in range(VOCABULARY) if token != END]
    everything = [(*some, END) for length in range(LONGEST) for some in product(others, repeat=length)]
    for sample in range(20):
        best = max(everything, key=lambda tokens: score(table.logits[sample], tokens, alpha))
        assert found[sample, : len(best)].tolist() == list(best)
        assert not found[sample, len(best) :].any()
        assert float(scores[sample]) == pytest.approx(score(table.logits[sample], best, alpha), abs=1e-5)


def test_a_beam_of_one_is_greedy_and_a_wider_one_scores_more_on_average() -> None:
    torch.manual_seed(1)
    table = Table(3 * torch.randn(50, VOCABULARY, VOCABULARY, VOCABULARY))
    token = torch.ones(50, dtype=torch.int64)
    found = {beam: beam_search(table, token, table.begin(), 12, END, beam, 0.0) for beam in (1, 4)}
    likeliest = greedy(table, token, table.begin(), 12, END)
    width = min(likeliest.shape[1], found[1][0].shape[1])
    assert torch.equal(found[1][0][:, :width], likeliest[:, :width])
    assert found[4][1].mean() > found[1][1].mean()


def test_bad_sequences_that_end_early_stop_no_good_one() -> None:
    # Of a sure model every other way is bad, the least so to end at once: soon such ends are as many as the
    # beam.
    logits = torch.full((1, 9, 9, 9), -9.0)
    logits[..., END] = -8.0
    for token, following in {1: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: END}.items():
        logits[0, :, token, following] = 9.0
    table = Table(logits)
    for beam in (1, 3, 5):
        found, _ = beam_search(table, torch.ones(1, dtype=torch.int64), table.begin(), 20, END, beam)
        assert found[0, :7].tolist() == [3, 4, 5, 6, 7, 8, END]


@pytest.mark.parametrize("wrong", [{"beam_size": 0}, {"max_tokens": 0}, {"length_penalty": -1.0}])
def test_no_beam_is_refused(wrong: dict[str, float]) -> None:
    table = Table(torch.zeros(1, VOCABULARY, VOCABULARY, VOCABULARY))
    settings = {"max_tokens": 3, "beam_size": 2, "length_penalty": 1.0} | wrong
    with pytest.raises(ValueError, match="1 or more, 1 or more, and 0 or more"):
        beam_search(table, torch.ones(1, dtype=torch.int64), table.begin(), end=END, **settings)  # pyright: ignore
