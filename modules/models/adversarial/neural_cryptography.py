"""Three networks of which two learn to encrypt: Alice and Bob share a key, Eve listens without it.

Abadi & Andersen (2016), *Learning to protect communications with adversarial neural cryptography*, sections
2.2 and 2.5 (arXiv 1610.06918). The "mix & transform" architecture: a dense layer in which every bit may meet
every other, then convolutions, which learn what to do with neighbours. The paper's P, K, C are `message`,
`key`, `ciphertext`; N is `num_bits`. Bits are -1 or 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class MixTransform(nn.Module):
    """A dense layer over all bits, then four convolutions (section 2.5).

    Their windows are 4, 2, 1, 1, their strides 1, 2, 1, 1, their depths 2, 4, 4, 1. The nonlinearities are
    sigmoids, the last one a hyperbolic tangent, so that what comes out lies where bits lie.

    Initial weights: the dense layer's are orthogonal (Saxe et al. 2014, arXiv 1312.6120), so that all bits
    are equally loud; those before the inner sigmoids are 4 times those of Glorot & Bengio (2010), as a
    sigmoid's slope is at most 1/4, and otherwise hardly anything gets through for thousands of steps.

    Args:
        num_inputs: bits that go in.
        num_bits: bits that come out.
    """

    def __init__(self, num_inputs: int, num_bits: int) -> None:
        super().__init__()
        self.mix = nn.Linear(num_inputs, 2 * num_bits)
        # Of so few channels a convolution is fastest as a dense layer over each window, channels last.
        self.windows = nn.Linear(4, 2)
        self.pairs = nn.Linear(2 * 2, 4)
        self.within = nn.Linear(4, 4)
        self.out = nn.Linear(4, 1)
        nn.init.orthogonal_(self.mix.weight)
        for layer in (self.windows, self.pairs, self.within):
            nn.init.xavier_uniform_(layer.weight, gain=4.0)
        nn.init.xavier_uniform_(self.out.weight)
        for layer in (self.mix, self.windows, self.pairs, self.within, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, bits: Float[Tensor, "batch num_inputs"]) -> Float[Tensor, "batch num_bits"]:
        mixed = self.mix(bits).sigmoid()
        windows = functional.pad(mixed, (1, 2)).unfold(1, size=4, step=1)  # as many as before
        hidden = self.windows(windows).sigmoid()
        hidden = self.pairs(hidden.unflatten(1, (-1, 2)).flatten(2)).sigmoid()  # stride 2
        return self.out(self.within(hidden).sigmoid()).tanh().squeeze(2)


class NeuralCryptography(nn.Module):
    """Alice encrypts, Bob decrypts with the key, Eve decrypts without it.

    Args:
        num_bits: bits of a message, of a key and of a ciphertext.

    Raises:
        ValueError: there is not even one bit.
    """

    def __init__(self, num_bits: int = 16) -> None:
        super().__init__()
        if num_bits < 1:
            raise ValueError(f"num_bits={num_bits} is below 1")
        self.num_bits = num_bits
        self.alice = MixTransform(2 * num_bits, num_bits)
        self.bob = MixTransform(2 * num_bits, num_bits)
        self.eve = MixTransform(num_bits, num_bits)

    def encrypt(
        self, message: Float[Tensor, "batch num_bits"], key: Float[Tensor, "batch num_bits"]
    ) -> Float[Tensor, "batch num_bits"]:
        """Alice's ciphertext: numbers in -1..1, not bits."""
        return self.alice(torch.cat([message, key], dim=1))

    def decrypt(
        self, ciphertext: Float[Tensor, "batch num_bits"], key: Float[Tensor, "batch num_bits"]
    ) -> Float[Tensor, "batch num_bits"]:
        """The message as Bob takes it to be."""
        return self.bob(torch.cat([ciphertext, key], dim=1))

    def forward(
        self, message: Float[Tensor, "batch num_bits"], key: Float[Tensor, "batch num_bits"]
    ) -> tuple[Float[Tensor, "batch num_bits"], Float[Tensor, "batch num_bits"]]:
        """The message as Bob and as Eve take it to be."""
        ciphertext = self.encrypt(message, key)
        return self.decrypt(ciphertext, key), self.eve(ciphertext)
