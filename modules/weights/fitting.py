"""How weights that were found fit a model: by name and shape, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from modules.configuration.errors import UserError

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Fit:
    """How found weights fit a model, by the names of its own weights.

    Attributes:
        kept: taken over.
        new: as they were initialised: nothing was found for them, or something of another shape.
        left_over: found, but not wanted.
        num_kept: elements taken over.
        num_weights: elements that the model has.
    """

    kept: list[str]
    new: list[str]
    left_over: list[str]
    num_kept: int
    num_weights: int

    def __str__(self) -> str:
        share = f"{len(self.kept)} of {len(self.kept) + len(self.new)} tensors"
        share += f" kept ({self.num_kept:,} of {self.num_weights:,} numbers)"
        parts = [share, f"new: {some(self.new)}" if self.new else ""]
        return "; ".join(
            filter(None, [*parts, f"left over: {some(self.left_over)}" if self.left_over else ""])
        )


def compare(model: nn.Module, found: Weights, reinit: Sequence[str] = ()) -> Fit:
    """How weights would fit a model; nothing is changed.

    Raises:
        UserError: no weight has a name that begins as `reinit` says.
    """
    own = model.state_dict()
    for beginning in reinit:
        if not any(name.startswith(beginning) for name in own):
            raise UserError(
                f"fine_tuning.reinit: no weight of {type(model).__name__} begins with {beginning!r}",
                f"There is: {some(list(own), 12)}",
            )
    # A layer of another size is new as a whole: the bias alone of what it once weighed says nothing.
    others = {
        name.rpartition(".")[0]
        for name, weight in own.items()
        if name in found and found[name].shape != weight.shape
    }
    kept = [
        name
        for name in own
        if name in found and name.rpartition(".")[0] not in others and not name.startswith(tuple(reinit))
    ]
    taken = set(kept)
    return Fit(
        kept,
        new=[name for name in own if name not in taken],
        left_over=[name for name in found if name not in taken],
        num_kept=sum(own[name].numel() for name in kept),
        num_weights=sum(weight.numel() for weight in own.values()),
    )


def some(names: list[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
