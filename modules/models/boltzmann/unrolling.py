"""A deep belief net unrolled to a deep autoencoder: its layers upwards, then the same layers downwards.

Hinton & Salakhutdinov (2006), *Reducing the dimensionality of data with neural networks*, Science 313,
figure 1. Encoder and decoder begin with the same weights, and are fine-tuned apart.

Deviates: there the units of the code are linear with Gaussian noise in pretraining already; here they are
Bernoulli units, and the autoencoder's code is their logits. The decoder's first layer begins as one that
takes logits x, through the line 1/2 + x/4 that touches the sigmoid at 0.
"""

from collections.abc import Mapping

from torch import Tensor


class Unrolling:
    """Weights of a deep belief net, by the names of an autoencoder of dense layers."""

    def __call__(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The autoencoder's weights; none where `found` are those of another model."""
        num_layers = sum(name.startswith("layers.") and name.endswith(".weights") for name in found)
        unrolled = {}
        for layer in range(num_layers):
            weights, visible_bias, hidden_bias = (
                found[f"layers.{layer}.{name}"] for name in ("weights", "visible_bias", "hidden_bias")
            )
            down, downwards_bias = weights.T, visible_bias
            if layer == num_layers - 1:
                down, downwards_bias = weights.T / 4, visible_bias + weights.sum(0) / 2
            decoder = f"decoder.{num_layers - 1 - layer}.linear"
            unrolled |= {
                f"encoder.{layer}.linear.weight": weights,
                f"encoder.{layer}.linear.bias": hidden_bias,
                f"{decoder}.weight": down,
                f"{decoder}.bias": downwards_bias,
            }
        return unrolled
