"""Stacked LSTM layers that read the numbers of an input one by one, and name its class behind the last.

Graves (2013), *Generating sequences with recurrent neural networks*, arXiv 1308.0850, section 2, for the
stack: what a Grid LSTM is compared with.
"""

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.recurrent_layer import RecurrentLayer


class StackedLSTMClassifier(nn.Module):
    """Layers, each over the states of the one below; one logit for each class, of the top one's last state.

    Args:
        num_classes: number of outputs.
        hidden_size: of the state of each layer.
        num_layers: above each other.
    """

    def __init__(self, num_classes: int, hidden_size: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        sizes = [1, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(RecurrentLayer("lstm", size, hidden_size) for size in sizes)
        self.output = nn.Linear(hidden_size, num_classes)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of inputs in 0..1, which count as -1..1."""
        features = 2 * inputs[:, :, None] - 1
        for layer in self.layers:
            features, _ = layer(features)
        return self.output(features[:, -1])
