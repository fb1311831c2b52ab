"""Decoding of CTC, against the probabilities of all labellings and cases worked by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.generation.ctc_decoding import LanguageModel, beam_search, best_path


def labellings(chances: Tensor, blank: int) -> dict[tuple[int, ...], float]:
    """ln p of all, from all paths."""
    found: dict[tuple[int, ...], float] = {}
    time, num_labels = chances.shape
    for path in itertools.product(range(num_labels), repeat=time):
        one = tuple(label for label, _ in itertools.groupby(path) if label != blank)
        found[one] = found.get(one, 0.0) + math.prod(float(chances[t, label]) for t, label in enumerate(path))
    return {one: math.log(chance) for one, chance in found.items()}


def one_hot(path: list[int], num_labels: int) -> Tensor:
    return nn.functional.one_hot(torch.tensor(path), num_labels).float()


def test_a_best_path_by_hand() -> None:
    """Blanks before, between, after; repeats merged, not over a blank; nothing after the frames is seen."""
    first = one_hot([0, 1, 1, 0, 1, 2, 2, 2, 0], 3)
    second = one_hot([2, 1, 0, 0, 0, 1, 1, 1, 2], 3)
    third = one_hot([0, 0, 0, 0, 0, 0, 0, 0, 2], 3)
    found = best_path(torch.stack([first, second, third]), torch.tensor([9, 7, 8]))
    assert found.tokens.tolist() == [[1, 1, 2], [2, 1, 1], [0, 0, 0]] and found.lengths.tolist() == [3, 3, 0]
    assert found.starts.tolist() == [[1, 4, 5], [0, 1, 5], [0, 0, 0]]
    assert found.ends.tolist() == [[3, 5, 8], [1, 2, 7], [0, 0, 0]]
    other = best_path(first[None], torch.tensor([9]), blank=1)  # 0 _ _ 0 _ 2 2 2 0
    assert other.tokens.tolist() == [[0, 0, 2, 0]] and other.ends.tolist() == [[1, 4, 8, 9]]


class BestPath(nn.Module):
    def forward(self, logits: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        found = best_path(logits, frames, blank=2)
        return found.tokens, found.lengths


def test_a_best_path_in_an_exported_program() -> None:
    logits, frames = torch.randn(3, 12, 5), torch.tensor([12, 4, 9])
    batch = torch.export.Dim("batch", min=1)
    sizes = {"logits": {0: batch, 1: torch.export.Dim.DYNAMIC}, "frames": {0: batch}}
    program = torch.export.export(BestPath(), (torch.randn(2, 10, 5), frames[1:]), dynamic_shapes=sizes)
    tokens, lengths = program.module()(logits, frames)
    assert program.module()(logits[:1, :1], torch.tensor([1]))[0].shape == (1, 1)
    found = best_path(logits, frames, blank=2)
    longest = found.tokens.shape[1]
    assert torch.equal(lengths, found.lengths) and torch.equal(tokens[:, :longest], found.tokens)
    assert tokens.shape == (3, 12) and not tokens[:, longest:].any()


@pytest.mark.parametrize(("time", "num_labels", "blank"), [(1, 3, 0), (5, 3, 0), (6, 2, 1), (4, 4, 2)])
def test_a_wide_beam_is_exact(time: int, num_labels: int, blank: int) -> None:
    logits = torch.randn(3, time, num_labels, generator=torch.Generator().manual_seed(time)) * 2
    for sample, found in zip(logits, beam_search(logits, torch.full((3,), time), 1000, blank), strict=True):
        expected = labellings(sample.double().softmax(1), blank)
        assert {one.tokens: one.score for one in found} == pytest.approx(expected, abs=1e-9)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert all(one.score == one.log_probability for one in found)


def test_narrow_beams() -> None:
    """None says too much of a labelling; each holds as many as it may; wider ones find better ones."""
    logits = torch.randn(8, 7, 3, generator=torch.Generator().manual_seed(0))
    exact = [labellings(sample.double().softmax(1), 0) for sample in logits]
    worth = []
    for beam in (1, 2, 4, 8, 64):
        found = beam_search(logits, torch.full((8,), 7), beam)
        for chances, best in zip(exact, found, strict=True):
            assert len({one.tokens for one in best}) == len(best) == min(beam, len(chances))
            assert all(one.log_probability <= chances[one.tokens] + 1e-9 for one in best)
        worth.append(sum(chances[best[0].tokens] for chances, best in zip(exact, found, strict=True)))
    assert worth[0] < worth[-1] == pytest.approx(sum(max(chances.values()) for chances in exact))


def test_a_beam_by_hand() -> None:
    """Twice blank 0.6, a 0.4: the best path is empty, 0.36, and a is 0.64; a beam of 1 has dropped it."""
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]).log()[None]
    frames = torch.tensor([2])
    assert best_path(logits, frames).lengths.tolist() == [0]
    (narrow,), (wide,) = beam_search(logits, frames, 1), beam_search(logits, frames, 2)
    assert [one.tokens for one in narrow] == [()] and [one.tokens for one in wide] == [(1,), ()]
    chances = [math.exp(one.log_probability) for one in (*narrow, *wide)]
    assert chances == pytest.approx([0.36, 0.64, 0.36])
    assert beam_search(logits, torch.tensor([0]), 4) == [[((), 0.0, 0.0)]]


def test_a_language_model_by_hand() -> None:
    """One frame, blank 0.1, a 0.5, b 0.4; the model says a 0.2, b 0.8: 0.5 0.2 < 0.4 0.8."""
    logits = torch.tensor([[[0.1, 0.5, 0.4]]]).log()
    said: LanguageModel = lambda prefix: np.log([1.0, 0.2, 0.8])  # noqa: E731
    frames = torch.tensor([1])
    assert beam_search(logits, frames, 3)[0][0].tokens == (1,)
    (found,) = beam_search(logits, frames, 3, language_model=said)
    assert [one.tokens for one in found] in ([(2,), (1,), ()], [(2,), (), (1,)])
    assert math.exp(found[0].score) == pytest.approx(0.32) and math.exp(
        found[0].log_probability
    ) == pytest.approx(0.4)
    (found,) = beam_search(logits, frames, 3, language_model=said, alpha=0.1, beta=-2)
    assert [one.tokens for one in found] == [
        (),
        (1,),
        (2,),
    ]  # 0.1; 0.5 0.2^0.1 e^-2 = 0.058; 0.4 0.8^0.1 e^-2
    assert math.exp(found[1].score) == pytest.approx(0.5 * 0.2**0.1 * math.exp(-2))


def test_a_language_model_with_a_wide_beam_is_exact() -> None:
    table = torch.randn(4, 4, generator=torch.Generator().manual_seed(5)).double().log_softmax(1).numpy()
    asked = []

    def bigrams(prefix: tuple[int, ...]) -> np.ndarray:
        asked.append(prefix)
        return table[prefix[-1] if prefix else 0]

    logits = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(6))
    (found,) = beam_search(logits, torch.tensor([5]), 500, 0, bigrams, alpha=0.7, beta=0.3)
    expected = {
        one: chance + sum(0.7 * table[before, label] + 0.3 for before, label in itertools.pairwise((0, *one)))
        for one, chance in labellings(logits[0].double().softmax(1), 0).items()
    }
    assert {one.tokens: one.score for one in found} == pytest.approx(expected, abs=1e-9)
    assert len(asked) == len(set(asked))
    plain = beam_search(logits, torch.tensor([5]), 7)
    assert beam_search(logits, torch.tensor([5]), 7, 0, lambda prefix: np.zeros(4)) == plain


@pytest.mark.parametrize("beam", [0, -3])
def test_no_beam_is_refused(beam: int) -> None:
    with pytest.raises(UserError, match=f"beam={beam} keeps no prefix. Give at least 1"):
        beam_search(torch.randn(1, 3, 3), torch.tensor([3]), beam)
