"""Ranks by brute force; what finds nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.metrics.retrieval import ranks, recall


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 1000))
def test_ranks_are_those_of_brute_force(queries: int, answers: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    asked = torch.randint(-2, 3, (queries, 3), generator=generator).float()
    known = torch.randint(-2, 3, (answers, 3), generator=generator).float()
    right = torch.randint(answers, (queries,), generator=generator)
    for query, own, found in zip(asked, right.tolist(), ranks(asked, known, right).tolist(), strict=True):
        scores = [float(query @ one) for one in known]
        assert found == sum(score >= scores[own] for n, score in enumerate(scores) if n != own)


def test_one_vector_for_everything_finds_nothing() -> None:
    same = torch.ones(10, 4)
    assert recall(ranks(same, same), 5) == 0


def test_recall_counts_the_first() -> None:
    found = torch.tensor([0, 4, 5, 9])
    assert [recall(found, most) for most in (1, 5, 10)] == pytest.approx([0.25, 0.5, 1.0])
