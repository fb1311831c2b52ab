"""How the weights of recurrent cells begin."""

from torch import nn


def initialise_recurrent(cell: nn.Module) -> None:
    """Input weights by Glorot & Bengio (2010), orthogonal hidden weights (Saxe, McClelland & Ganguli 2014,
    arXiv 1312.6120), gate by gate; biases of zero.

    Args:
        cell: with `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` and `hidden_size`.
    """
    for name, weight in cell.named_parameters(recurse=False):
        for gate in weight.split(cell.hidden_size):  # pyright: ignore[reportArgumentType]
            if name == "weight_ih":
                nn.init.xavier_uniform_(gate)
            elif name == "weight_hh":
                nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(gate)
