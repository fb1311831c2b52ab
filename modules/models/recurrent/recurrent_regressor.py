"""A recurrent network that reads a sequence of numbers and answers with numbers behind its last step.

Hochreiter & Schmidhuber (1997), *Long short-term memory*, Neural Computation 9, section 5.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.recurrent_layer import CellName, RecurrentLayer


class RecurrentRegressor(nn.Module):
    """Recurrent layers, and a linear layer over the top one's state at each sequence's own end.

    Args:
        num_inputs: numbers of a step.
        num_outputs: numbers of an answer.
        hidden_size: of the state of each layer.
        num_layers: recurrent layers.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: CellName = "lstm",
    ) -> None:
        super().__init__()
        sizes = [num_inputs, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(RecurrentLayer(cell, size, hidden_size) for size in sizes)
        self.output = nn.Linear(hidden_size, num_outputs)

    def forward(
        self, sequences: Float[Tensor, "batch time inputs"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch outputs"]:
        """An answer for each sequence.

        Args:
            sequences: padded at their ends.
            length: steps of each sequence, at least 1.
        """
        features = sequences
        for layer in self.layers:
            features, _ = layer(features)
        last = (length - 1)[:, None, None].expand(-1, 1, features.shape[2])
        return self.output(features.gather(1, last)[:, 0])

    def by_steps(
        self, sequences: Float[Tensor, "batch time inputs"]
    ) -> tuple[Float[Tensor, "batch outputs"], list[tuple[Tensor, ...]]]:
        """`forward` of sequences of one length, step by step, and the top layer's state after each step.

        All that is known of the past lies in these states, so that a gradient with respect to one of them is
        what is left there of the gradient at the end.
        """
        *below, top = self.layers
        features = sequences
        for layer in below:
            features, _ = layer(features)
        assert isinstance(top, RecurrentLayer)
        states = [top.initial_state(features)]
        for inputs in features.unbind(1):
            # Each its own in the graph: an LSTM's h is made of its c.
            states.append(tuple(part.view_as(part) for part in top.cell(inputs, states[-1])))
        return self.output(states[-1][0]), states[1:]


def gradient_through_time(
    loss: Float[Tensor, ""], states: list[tuple[Tensor, ...]]
) -> Float[Tensor, "batch time"]:
    """The norm of a loss's gradient with respect to the whole state after each step, of an LSTM h and c.

    Args:
        loss: a sum over sequences, of which none depends on another.
        states: after each step, each tensor [batch, hidden].
    """
    flat = [tensor for state in states for tensor in state]
    # The last c is read by nobody.
    gradients = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
    parts = len(states[0])
    squares = torch.stack([gradient.square().sum(1) for gradient in gradients], dim=1)
    return squares.unflatten(1, (-1, parts)).sum(2).sqrt()
