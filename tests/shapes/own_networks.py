"""Networks of a user's own package, each with a feature that shape checking must see, and their nodes."""

from typing import Any

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """One block whose output is added to its input, then three branches put side by side."""

    def __init__(self, num_filters: int, num_shortcut: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, num_filters, 3, padding=1)
        self.first = nn.Conv2d(num_filters, num_filters, 3, padding=1)
        self.second = nn.Conv2d(num_filters, num_shortcut, 3, padding=1)
        self.shortcut = nn.Identity()
        self.left = nn.Conv2d(num_filters, 16, 1)
        self.right = nn.Conv2d(num_filters, 4, 5, padding=2)
        self.output = nn.Linear(20, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images).relu()
        maps = self.shortcut(maps) + self.second(self.first(maps).relu())
        both = torch.cat([self.left(maps), self.right(maps)], dim=1)
        return self.output(both.mean(dim=(2, 3)))


class Recurrent(nn.Module):
    """One cell for all rows of an image, a token of its own, and a head that nothing uses."""

    def __init__(self, num_classes: int, unused: int = 0) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(32))
        self.cell = nn.GRUCell(28, 32)
        self.output = nn.Linear(32, num_classes)
        self.unused = nn.Linear(32, unused) if unused else None

    def forward(self, images: Tensor) -> Tensor:
        state = self.start.expand(len(images), -1)
        for row in images[:, 0].unbind(dim=1):
            state = self.cell(row, state)
        return self.output(state)


class Attention(nn.Module):
    """Rows of an image attend to each other, all rows of all images in one matrix product after that."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(28, 4, batch_first=True)
        self.rows = nn.Linear(28, 16)
        self.output = nn.Linear(28 * 16, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        rows = images[:, 0]
        attended, _ = self.attention(rows, rows, rows, need_weights=False)
        return self.output(self.rows(attended.flatten(0, 1)).view(len(images), -1))


class Looking(nn.Module):
    """Looks at a number before it decides, which no check without data can."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(784, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.output(images.flatten(1))
        return logits if logits.sum().item() > 0 else -logits


class Unlucky(nn.Module):
    """A constructor with a size of its own that does not suit the data."""

    def __init__(self, num_classes: int, window: int = 40, stride: int = 1) -> None:
        super().__init__()
        side = (28 - window) // stride + 1
        if side < 1:
            raise ValueError(f"window={window} is larger than 28")
        self.convolution = nn.Conv2d(1, 2, window, stride)
        self.output = nn.Linear(2 * side * side, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.convolution(images).flatten(1))


def own(name: str, **keywords: Any) -> dict[str, Any]:
    """The node of a network of one's own."""
    return {"_target_": f"tests.shapes.own_networks.{name}", **keywords}


def chain(*layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The node of layers of torch, one after another."""
    nodes = [{"_target_": f"torch.nn.{name}", **keywords} for name, keywords in layers]
    return {"_target_": "modules.models.sequential.Sequential", "layers": nodes}
