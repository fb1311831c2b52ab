"""Encryption learned against an eavesdropper: Alice and Bob share a key, Eve has none, and they take turns.

Abadi & Andersen (2016), section 2.3 (arXiv 1610.06918). Errors are distances in bits: half the sum of
absolute differences, as bits are -1 or 1. Eve learns to make hers small. Alice and Bob learn to make Bob's
small and Eve's that of guessing, N/2: their loss is Bob's error, as a share of all bits, plus
((N/2 - Eve's error) / (N/2))^2, where Eve's error is its mean over the batch (of several workers: over the
share of each). A smaller one would be no secret, and a larger one she would only have to negate.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from modules.metrics.mean import Mean
from modules.models.adversarial.neural_cryptography import NeuralCryptography
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.step import Step
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class Receiver(nn.Module):
    """Bob alone: from ciphertext and key to the message."""

    def __init__(self, model: NeuralCryptography) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ciphertext: Float[Tensor, "batch num_bits"], key: Float[Tensor, "batch num_bits"]
    ) -> Float[Tensor, "batch num_bits"]:
        return self.model.decrypt(ciphertext, key)


class Encryption(Task):
    """Learns to encrypt so that who has the key can read, and nobody else.

    Batches hold `message` and `key`, [batch, num_bits] each, of -1 and 1 in any type.

    Args:
        model: Alice, Bob and Eve.
        eve_steps: steps of Eve for each of Alice and Bob; the paper gives her two, to be ahead of them.

    Raises:
        ValueError: the model cannot encrypt, or Eve would never learn.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/bob_error_bits": "min",
        "validation/eve_error_bits": "max",
    }
    serves = True
    model: NeuralCryptography

    def __init__(self, model: nn.Module, eve_steps: int = 2) -> None:
        super().__init__(model)
        if not isinstance(model, NeuralCryptography):
            raise ValueError(f"{type(model).__name__} cannot encrypt")
        if eve_steps < 1:
            raise ValueError(f"eve_steps={eve_steps} is below 1: there would be nobody to hide from")
        self.eve_steps = eve_steps

    def steps(self) -> list[Step]:
        model = self.model
        pair = [*model.alice.parameters(), *model.bob.parameters()]
        return [
            Step("alice_and_bob", pair, self.loss),
            Step("eve", list(model.eve.parameters()), self.eve_loss, repeats=self.eve_steps),
        ]

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Messages and keys in the floating-point type of the weights."""
        dtype = self.model.alice.mix.weight.dtype
        return batch["message"].to(dtype), batch["key"].to(dtype)

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """What Alice and Bob learn from."""
        message, key = self.inputs(batch)
        by_bob, by_eve = self.model(message, key)
        half = self.model.num_bits / 2
        eve = bits_apart(by_eve, message).mean()
        bob = bits_apart(by_bob, message).mean() / self.model.num_bits
        return Mean.of_mean(bob + ((half - eve) / half) ** 2, len(message))

    def eve_loss(self, batch: dict[str, Tensor]) -> Mean:
        """What Eve learns from: her own error."""
        message, key = self.inputs(batch)
        return Mean.of(bits_apart(self.model.eve(self.model.encrypt(message, key).detach()), message))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        message, key = self.inputs(batch)
        by_bob, by_eve = self.model(message, key)
        return {
            "validation/bob_error_bits": Mean.of(bits_apart(by_bob, message)),
            "validation/eve_error_bits": Mean.of(bits_apart(by_eve, message)),
        }

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From ciphertexts and keys to messages."""
        size = (self.model.num_bits,)
        inputs = tuple(ServedInput(name, "vector", size) for name in ("ciphertext", "key"))
        bits = tuple(f"bit {number}" for number in range(self.model.num_bits))
        return Served(Receiver(self.model), inputs, (ServedOutput("message", "values", size, bits),))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        message, key = self.inputs(batch)
        return self.model.encrypt(message, key).detach(), key


def bits_apart(
    one: Float[Tensor, "batch num_bits"], other: Float[Tensor, "batch num_bits"]
) -> Float[Tensor, " batch"]:
    """The distance of messages in bits, which are -1 or 1 where they are certain."""
    return (one - other).abs().sum(1) / 2
