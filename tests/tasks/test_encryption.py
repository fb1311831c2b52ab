"""The losses of learned encryption are the paper's, and each learns for itself."""

import pytest
import torch

from modules.models.adversarial.neural_cryptography import NeuralCryptography
from modules.tasks.encryption import Encryption, bits_apart
from tests.tasks.data_of_batch import settings_of


def made() -> tuple[Encryption, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    bits = 2 * torch.randint(0, 2, (2, 10, 4), dtype=torch.int8) - 1
    return Encryption(NeuralCryptography(4), eve_steps=3), {"message": bits[0], "key": bits[1]}


def test_distances_are_in_bits() -> None:
    one = torch.tensor([[1.0, -1.0, 1.0, 0.0]])
    assert bits_apart(one, torch.tensor([[-1.0, -1.0, -1.0, 1.0]])).tolist() == [2.5]


def test_losses() -> None:
    task, batch = made()
    message = batch["message"].float()
    by_bob, by_eve = task.model(*task.inputs(batch))
    bob, eve = ((guess - message).abs().sum(1).mean() / 2 for guess in (by_bob, by_eve))
    pair, alone = task.steps()
    assert (pair.name, pair.repeats, alone.name, alone.repeats) == ("alice_and_bob", 1, "eve", 3)
    torch.testing.assert_close(pair.loss(batch).quotient, bob / 4 + (2 - eve) ** 2 / 2**2)
    torch.testing.assert_close(alone.loss(batch).quotient, eve)
    measured = {name: mean.total / mean.count for name, mean in task.validate(batch).items()}
    torch.testing.assert_close(measured, {"validation/bob_error_bits": bob, "validation/eve_error_bits": eve})


def test_eve_teaches_alice_nothing() -> None:
    task, batch = made()
    task.eve_loss(batch).quotient.backward()
    assert all(parameter.grad is None for parameter in task.model.alice.parameters())
    assert all(parameter.grad is not None for parameter in task.model.eve.parameters())


def test_bob_is_served() -> None:
    task, batch = made()
    message, key = task.inputs(batch)
    ciphertext = task.model.encrypt(message, key)
    served = task.served(settings_of({}), {})
    assert served.arguments == ("ciphertext", "key")
    assert torch.equal(served.module(ciphertext, key), task.model.decrypt(ciphertext, key))


@pytest.mark.parametrize(
    ("model", "eve_steps", "said"),
    [(torch.nn.Linear(2, 2), 2, "cannot"), (NeuralCryptography(2), 0, "below 1")],
)
def test_what_cannot_be(model: torch.nn.Module, eve_steps: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Encryption(model, eve_steps)
