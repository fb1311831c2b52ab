"""The parts of a model, from its input upwards: what is frozen, unfrozen and learned at rates of its own."""

from torch import nn


def parts(model: nn.Module) -> list[nn.Module]:
    """The parts of a model that have weights, the lowest first: its children, sequences of layers opened.

    A model defines its children in the order in which they run.
    """
    found: list[nn.Module] = []
    for child in model.children():
        found += child.children() if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    return [part for part in found if next(part.parameters(), None) is not None]
