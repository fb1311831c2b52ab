"""Alice, Bob and Eve are the paper's networks."""

import torch
from torch.nn import functional

from modules.models.adversarial.neural_cryptography import MixTransform, NeuralCryptography


def test_mix_and_transform_is_a_dense_layer_and_four_convolutions() -> None:
    torch.manual_seed(0)
    network = MixTransform(6, 5)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    bits = torch.randn(7, 6)
    hidden = network.mix(bits).sigmoid().unsqueeze(1)
    # [out, window * in] -> [out, in, window]: windows of one channel, pairs of two.
    first = network.windows.weight.unflatten(1, (1, 4))
    second = network.pairs.weight.unflatten(1, (2, 2)).transpose(1, 2)
    hidden = functional.conv1d(functional.pad(hidden, (1, 2)), first, network.windows.bias).sigmoid()
    assert hidden.shape == (7, 2, 10)
    hidden = functional.conv1d(hidden, second, network.pairs.bias, stride=2).sigmoid()
    assert hidden.shape == (7, 4, 5)
    for layer, nonlinearity in ((network.within, torch.sigmoid), (network.out, torch.tanh)):
        hidden = nonlinearity(functional.conv1d(hidden, layer.weight.unsqueeze(2), layer.bias))
    torch.testing.assert_close(network(bits), hidden.squeeze(1))


def test_bits_get_through_the_initial_sigmoids() -> None:
    """All are equally loud in the mix, and guesses differ more between messages than by Glorot's rule."""
    wide, narrow = 0.0, 0.0
    for seed in range(4):
        torch.manual_seed(seed)
        network = MixTransform(32, 16)
        torch.testing.assert_close(
            network.mix.weight.T @ network.mix.weight, torch.eye(32), atol=1e-5, rtol=0
        )
        bits = 2.0 * torch.randint(0, 2, (500, 32)) - 1
        with torch.no_grad():
            wide += float(network(bits).std(0).mean())
            for layer in (network.windows, network.pairs, network.within):
                torch.nn.init.xavier_uniform_(layer.weight)
            narrow += float(network(bits).std(0).mean())
    assert wide > 4 * narrow


def test_only_bob_has_the_key() -> None:
    torch.manual_seed(0)
    model = NeuralCryptography(4)
    message, key, other = (2.0 * torch.randint(0, 2, (9, 4)) - 1 for _ in range(3))
    ciphertext = model.encrypt(message, key)
    by_bob, by_eve = model(message, key)
    assert torch.equal(by_bob, model.decrypt(ciphertext, key))
    assert torch.equal(by_eve, model.eve(ciphertext))
    assert not torch.allclose(by_bob, model.decrypt(ciphertext, other))
