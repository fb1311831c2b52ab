"""A two-dimensional Grid LSTM, time by depth, that gives each step of a sequence a label.

Kalchbrenner, Danihelka & Graves (2015), *Grid long short-term memory*, arXiv 1507.01526, sections 3.3,
3.4 and 4.2: where a stacked LSTM has connections from layer to layer, this one has LSTMs along depth, too.
A step's token enters at the bottom as the depth dimension's h and m; its label is read from the h at the top.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.grid_lstm_layer import GridLSTMLayer


class GridLSTMLabeller(nn.Module):
    """Embedding, the grid, one logit for each label at each step.

    Args:
        vocab_size: tokens of the vocabulary.
        num_labels: labels to choose from.
        hidden_size: of h and of m along either dimension.
        depth: cells above each other.
        tied: whether all of them share one set of weights.
        export_steps: the longest sequence of an exported program, which takes as long for any.
    """

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        hidden_size: int = 64,
        depth: int = 5,
        tied: bool = True,
        export_steps: int = 20,
    ) -> None:
        super().__init__()
        self.export_steps = export_steps
        self.embedding = nn.Embedding(vocab_size, 2 * hidden_size)
        self.grid = GridLSTMLayer(hidden_size, depth, tied)
        self.output = nn.Linear(hidden_size, num_labels)

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time labels"]:
        """Logits, one for each label and step; what lies in the padding means nothing.

        Args:
            tokens: their numbers, padded.
            length: tokens of each sequence; not needed, as a label depends on what came before it alone.
        """
        time = tokens.shape[1]
        if torch.compiler.is_exporting():  # a program has no loop of as many rounds as there are steps
            tokens = functional.pad(tokens, (0, self.export_steps - time))
        hidden, memory = self.embedding(tokens.T).chunk(2, dim=2)
        hidden, _ = self.grid(hidden, memory)
        return self.output(hidden[:time]).transpose(0, 1)
