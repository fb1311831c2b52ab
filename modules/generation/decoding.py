"""Tokens one after another from a model that carries a state: the likeliest each time, or one by its
probability.

Temperature divides the logits before the softmax (the word is of Ackley, Hinton & Sejnowski 1985, *A learning
algorithm for Boltzmann machines*, Cognitive Science 9): below 1 the likely tokens become likelier, above 1
all become more alike; towards 0 sampling is greedy.

`greedy` can be part of an exported program: there it takes `max_tokens` steps, whatever is written.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

State = TypeVar("State")
"""What a model carries from one token to the next: a tensor, a tuple of them, a cache."""


@runtime_checkable
class NextToken(Protocol[State]):
    """A model that goes on writing."""

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The logits of the token that comes next, and the state to go on from.

        Args:
            token: the last token of each sequence.
            state: before that token.
        """
        ...


def greedy(
    model: NextToken[State], token: Int[Tensor, " batch"], state: State, max_tokens: int, end: int
) -> Int[Tensor, "batch tokens"]:
    """The likeliest token each time.

    Args:
        model: gives logits.
        token: to begin with, such as the begin token; not part of what is returned.
        state: before it.
        max_tokens: most tokens of a sequence.
        end: the token that ends one.

    Returns:
        Up to `max_tokens` tokens of each sequence, the end token included; what follows it is 0, padding.
        No longer than the longest sequence; in an exported program always `max_tokens` long.

    Raises:
        ValueError: `max_tokens` is below 1.
    """
    return _decode(model, token, state, max_tokens, end, lambda logits: logits.argmax(dim=1))


def sample(
    model: NextToken[State],
    token: Int[Tensor, " batch"],
    state: State,
    max_tokens: int,
    end: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch tokens"]:
    """A token by its probability each time.

    Args:
        model: gives logits.
        token: to begin with; not part of what is returned.
        state: before it.
        max_tokens: most tokens of a sequence.
        end: the token that ends one.
        temperature: divides the logits; above 0.
        generator: of the random numbers; None = torch's own.

    Returns:
        As `greedy`.

    Raises:
        ValueError: `max_tokens` is below 1 or `temperature` is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} is not above 0: take greedy decoding")

    def choose(logits: Float[Tensor, "batch vocabulary"]) -> Int[Tensor, " batch"]:
        probabilities = (logits / temperature).softmax(dim=1)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)

    return _decode(model, token, state, max_tokens, end, choose)


@torch.no_grad()
def _decode(
    model: NextToken[State],
    token: Int[Tensor, " batch"],
    state: State,
    max_tokens: int,
    end: int,
    choose: Callable[[Tensor], Tensor],
) -> Int[Tensor, "batch tokens"]:
    if max_tokens < 1:
        raise ValueError(f"max_tokens={max_tokens} is below 1: nothing would be written")
    written = []
    ended = torch.zeros_like(token, dtype=torch.bool)
    for _ in range(max_tokens):
        logits, state = model.step(token, state)
        token = choose(logits)
        written.append(token.masked_fill(ended, 0))
        ended = ended | (token == end)
        if not torch.compiler.is_exporting() and ended.all():
            break
    return torch.stack(written, dim=1)
