"""Activations that are computed again in the backward pass instead of being kept: less memory, more time.

Chen, Xu, Zhang & Guestrin 2016, *Training deep nets with sublinear memory cost*, section 4 (arXiv
1604.06174). Of each chosen part of a network only what goes in is kept. The gradients are the same: random
numbers are sampled again as they were, and running statistics, such as those of batch normalisation, are
updated once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from modules.configuration.errors import UserError
from modules.configuration.names import suggest
from modules.training.random_rows import same_random_rows


def recompute_activations(model: nn.Module, names: Sequence[str]) -> None:
    """Makes the parts of a model that are of some classes keep no activations for the backward pass.

    Args:
        model: whose state dict stays as it is.
        names: of classes of modules, such as `ResidualBlock`.

    Raises:
        UserError: the model has no part of a name.
    """
    parts = [part for part in model.modules() if part is not model]
    known = {type(part).__name__ for part in parts}
    for name in names:
        if name not in known:
            problem = f"trainer.activation_checkpointing: {type(model).__name__} has no part {name!r}"
            raise UserError(problem, suggest(name, known))
    for part in parts:
        if type(part).__name__ in names:
            part.forward = _recomputed(part, part.forward)


def _recomputed(part: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _as_before(part, same_random_rows())

    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return recomputed


@contextmanager
def _as_before(part: nn.Module, random_rows: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Samples as the first time, and leaves the buffers, which were updated then, as it finds them."""
    kept = [(buffer, buffer.clone()) for buffer in part.buffers()]
    try:
        with random_rows():
            yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
