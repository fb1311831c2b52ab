"""The nonlinearities of a neuron, by their usual names, and the initial weights that suit each.

Glorot & Bengio (2010), *Understanding the difficulty of training deep feedforward neural networks*, eq. 16,
for the saturating ones; He et al. (2015), *Delving deep into rectifiers*, arXiv 1502.01852, eq. 10, for the
rectifiers.
"""

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
_RECTIFIERS = {"relu", "relu6", "leaky_relu", "elu", "gelu", "silu"}


def activation_layer(name: str) -> nn.Module:
    """The nonlinearity called `name`.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name!r} is none of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def initialise(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, activation: str) -> None:
    """Sample weights that keep the variance of the signal through `layer` and the `activation` after it."""
    # torch counts the inputs of a neuron along the second axis, where a transposed convolution has outputs.
    weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
    if activation in _RECTIFIERS:
        nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
