"""Beam search: the sequences that are likeliest as a whole, as far as a beam of them is kept.

Graves (2012), *Sequence transduction with recurrent neural networks*, arXiv 1211.3711, section 2.5; the score
of a finished sequence is its log-probability by the length penalty of Wu et al. (2016), arXiv 1609.08144,
equation 14: ((5 + length) / 6) ** alpha.
"""

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

State = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Of each sample: what stays from step to step, and what goes on; tensors [batch, ...]."""


class WritesOn(Protocol):
    """A model that goes on writing, whose state tells apart what stays."""

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """See `modules.generation.decoding.NextToken`."""
        ...


@torch.no_grad()
def beam_search(
    model: WritesOn,
    token: Int[Tensor, " batch"],
    state: State,
    max_tokens: int,
    end: int,
    beam_size: int = 5,
    length_penalty: float = 1.0,
) -> tuple[Int[Tensor, "batch tokens"], Float[Tensor, " batch"]]:
    """The best finished sequence of each sample; where none has ended in time, the best of the others.

    A sample is done when none that goes on can still become better than its best; or, which is soon, when
    `beam_size` are finished and the best of them is better than any that goes on is by now.

    Args:
        model: gives logits.
        token: to begin with; not part of what is returned.
        state: before it.
        max_tokens: most tokens of a sequence.
        end: the token that ends one.
        beam_size: sequences that are kept.
        length_penalty: alpha; 0 prefers short sequences, 1 the best mean of a token.

    Returns:
        The tokens, the end included, then 0; and their scores.

    Raises:
        ValueError: a beam or a sequence of no token, or a negative penalty.
    """
    if beam_size < 1 or max_tokens < 1 or length_penalty < 0:
        raise ValueError(
            f"beam_size={beam_size}, max_tokens={max_tokens}, length_penalty={length_penalty}: they are 1 or"
            " more, 1 or more, and 0 or more"
        )
    batch = len(token)
    encoded, carried = (tuple(one.repeat_interleave(beam_size, 0) for one in part) for part in state)
    token = token.repeat_interleave(beam_size)
    first_row = torch.arange(batch, device=token.device)[:, None] * beam_size
    # At first all are the same: one of them goes on.
    scores = torch.full((batch, beam_size), float("-inf"), device=token.device)
    scores[:, 0] = 0.0
    written = token.new_zeros(batch, beam_size, max_tokens)
    best = token.new_zeros(batch, max_tokens)
    best_score = scores.new_full((batch,), float("-inf"))
    num_finished = token.new_zeros(batch)
    done = torch.zeros(batch, dtype=torch.bool, device=token.device)
    for step in range(max_tokens):
        logits, (_, carried) = model.step(token, (encoded, carried))
        log_probabilities = logits.float().log_softmax(dim=1).unflatten(0, (batch, beam_size))
        totals = (scores[:, :, None] + log_probabilities).flatten(1)
        # Each goes on in one way at most with the end token: twice as many hold as many that go on.
        chosen, places = totals.topk(min(2 * beam_size, totals.shape[1]), dim=1)
        vocabulary = log_probabilities.shape[2]
        parent, following = places // vocabulary, places % vocabulary
        ends = following == end
        penalty = _penalty(step + 1, length_penalty)
        # Only those among the best `beam_size` finish.
        finishing = ends & (torch.arange(ends.shape[1], device=ends.device) < beam_size) & chosen.isfinite()
        finished = torch.where(finishing, chosen / penalty, float("-inf"))
        ended_score, which = finished.max(dim=1)
        better = (ended_score > best_score) & ~done
        sequences = written.gather(1, parent.gather(1, which[:, None])[:, :, None].expand(-1, 1, max_tokens))
        sequences[:, 0, step] = end
        best = torch.where(better[:, None], sequences[:, 0], best)
        best_score = torch.where(better, ended_score, best_score)
        num_finished += finishing.sum(dim=1) * ~done
        # The best that go on, in their order.
        order = ends.long().sort(dim=1, stable=True).indices[:, :beam_size]
        scores = chosen.masked_fill(ends, float("-inf")).gather(1, order)
        parent, following = parent.gather(1, order), following.gather(1, order)
        written = written.gather(1, parent[:, :, None].expand(-1, -1, max_tokens))
        written[:, :, step] = following
        # A log-probability only falls: with the largest penalty it is the most that can come of it.
        most, by_now = (scores[:, 0] / _penalty(n, length_penalty) for n in (max_tokens, step + 1))
        done |= (best_score >= most) | ((num_finished >= beam_size) & (best_score >= by_now))
        if done.all() or step + 1 == max_tokens:
            break
        rows = (first_row + parent).flatten()
        carried = tuple(one.index_select(0, rows) for one in carried)
        token = following.flatten()
    none = best_score.isinf()
    best = torch.where(none[:, None], written[:, 0], best)
    best_score = torch.where(none, scores[:, 0] / _penalty(max_tokens, length_penalty), best_score)
    return best[:, : step + 1], best_score


def _penalty(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha
