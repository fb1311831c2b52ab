"""Decoding step by step, against every sequence that there is."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from modules.generation.decoding import greedy, sample

BEGIN, END, SIZE = 2, 3, 5


class Chain:
    """A Markov chain of second order: the next token depends on the last two; the state is the one before."""

    def __init__(self) -> None:
        self.logits = torch.randn(SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) * 2
        self.steps = 0

    def step(self, token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.steps += 1
        return self.logits[state, token], token

    def probability(self, first: int, sequence: tuple[int, ...], temperature: float = 1.0) -> float:
        """Of a sequence after the begin token, whose state is `first`."""
        before, last, product = first, BEGIN, 1.0
        for token in sequence:
            product *= float((self.logits[before, last] / temperature).softmax(0)[token])
            before, last = last, token
        return product


def sequences(length: int) -> list[tuple[int, ...]]:
    """All that may be written in so many tokens: ended by the end token, or cut off."""
    ended = [
        (*body, END)
        for size in range(length)
        for body in itertools.product([token for token in range(SIZE) if token != END], repeat=size)
    ]
    return ended + list(itertools.product([token for token in range(SIZE) if token != END], repeat=length))


def test_each_greedy_token_is_the_likeliest_of_all() -> None:
    chain = Chain()
    starts = torch.arange(SIZE)
    written = greedy(chain, torch.full((SIZE,), BEGIN), starts, 6, END)
    for first, row in zip(range(SIZE), written.tolist(), strict=True):
        row = row[: row.index(END) + 1] if END in row else row
        for place, token in enumerate(row):
            chances = [chain.probability(first, (*row[:place], other)) for other in range(SIZE)]
            assert chances[token] == max(chances)


def test_what_follows_the_end_is_padding_and_no_step_is_taken_for_nothing() -> None:
    chain = Chain()
    chain.logits[:] = torch.tensor([0.0, 0, 0, 0, 9])  # writes 4 ...
    chain.logits[0, BEGIN, END] = 99  # ... but ends at once after state 0,
    chain.logits[BEGIN, 4, END] = 99  # and else after one more
    written = greedy(chain, torch.full((2,), BEGIN), torch.tensor([0, 1]), 50, END)
    assert written.tolist() == [[END, 0], [4, END]] and chain.steps == 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_sequences_are_sampled_as_often_as_they_are_likely(temperature: float) -> None:
    chain, number = Chain(), 40_000
    written = sample(
        chain,
        torch.full((number,), BEGIN),
        torch.zeros(number, dtype=torch.int64),
        3,
        END,
        temperature,
        torch.Generator().manual_seed(0),
    )
    counts: dict[tuple[int, ...], int] = {}
    for row in written.tolist():
        sequence = tuple(row[: row.index(END) + 1] if END in row else row)
        counts[sequence] = counts.get(sequence, 0) + 1
    possible = sequences(3)
    chances = {sequence: chain.probability(0, sequence, temperature) for sequence in possible}
    assert math.isclose(sum(chances.values()), 1, abs_tol=1e-4) and counts.keys() <= chances.keys()
    for sequence, chance in chances.items():
        spread = 5 * math.sqrt(max(chance * (1 - chance), 1e-4) / number)
        assert abs(counts.get(sequence, 0) / number - chance) < spread, sequence


def test_a_generator_decides_and_a_low_temperature_is_greedy() -> None:
    chain, begin, state = Chain(), torch.full((8,), BEGIN), torch.arange(8) % SIZE
    one, same, other = (
        sample(chain, begin, state, 9, END, 2.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    cold = sample(chain, begin, state, 9, END, 1e-4, torch.Generator().manual_seed(1))
    assert torch.equal(cold, greedy(chain, begin, state, 9, END))


def test_a_state_may_be_anything() -> None:
    class Counter:
        """Writes as many tokens as its state says."""

        def step(self, token: Tensor, state: tuple[Tensor, str]) -> tuple[Tensor, tuple[Tensor, str]]:
            left, word = state
            logits = torch.zeros(len(token), SIZE)
            logits[:, 4] = 1
            logits[left == 0, END] = 2
            return logits, (left - 1, word)

    written = greedy(Counter(), torch.full((3,), BEGIN), (torch.tensor([0, 2, 1]), "any"), 9, END)
    assert written.tolist() == [[END, 0, 0], [4, 4, END], [4, END, 0]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        sample(Chain(), torch.tensor([BEGIN]), torch.tensor([0]), 3, END, temperature)


def test_nothing_to_write_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens=0"):
        greedy(Chain(), torch.tensor([BEGIN]), torch.tensor([0]), 0, END)
