"""An associative memory on directed layers: what it thinks of a label, what it makes up, where it begins."""

import pytest
import torch
from torch.nn import functional

from modules.models.boltzmann.deep_belief_net import DeepBeliefNet
from modules.models.boltzmann.generative_belief_net import GenerativeBeliefNet, Untied
from tests.bricks.test_boltzmann_layer import states

SHAPE = [1, 4, 4]


def net(*hidden_sizes: int) -> GenerativeBeliefNet:
    torch.manual_seed(0)
    model = GenerativeBeliefNet(SHAPE, num_classes=3, hidden_sizes=hidden_sizes).requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def test_a_labels_probability_is_that_of_the_memory() -> None:
    model, images = net(7, 5, 4), torch.rand(6, *SHAPE)
    features = model.features(images)
    labels = [torch.full((6,), label) for label in range(3)]
    free_energies = [model.top.free_energy(model.memorised(features, label)) for label in labels]
    torch.testing.assert_close(
        model(images).softmax(1), (-torch.stack(free_energies, dim=1)).softmax(1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("label", [None, 2])
def test_chains_come_to_the_memorys_own_distribution(label: int | None) -> None:
    model = net(3, 4)
    num_chains = 60_000
    hidden = torch.rand(num_chains, 4).round()
    for _ in range(60):
        given = None if label is None else torch.full((num_chains,), label)
        visible, hidden = model.gibbs_step(hidden, given)
    possible = torch.cat(
        [
            model.memorised(states(3).float(), torch.full((8,), one))
            for one in ((0, 1, 2) if label is None else (label,))
        ]
    )
    expected = (-model.top.free_energy(possible)).softmax(0)
    found = (visible[:, None] == possible).all(2).float().mean(0)
    assert float(found.sum()) == pytest.approx(1)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_it_begins_as_the_belief_net_does() -> None:
    torch.manual_seed(0)
    stack = DeepBeliefNet(SHAPE, num_classes=3, hidden_sizes=[7, 5])
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter)
    model, images = net(7, 5, 4), torch.rand(6, *SHAPE)
    missing, unknown = model.load_state_dict(Untied()(stack.state_dict()), strict=False)
    assert not unknown and all(name.startswith("top.") for name in missing)
    first, second = stack.boltzmann_layers()
    features = second.hidden_probabilities(first.hidden_probabilities(images.flatten(1)))
    torch.testing.assert_close(model.features(images), features)
    torch.testing.assert_close(model.decode(features), first.visible_mean(second.visible_mean(features)))
    assert Untied()(torch.nn.Linear(2, 2).state_dict()) == {}


def test_a_memory_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_sizes=\[5\]"):
        net(5)


def test_labels_are_one_of_many() -> None:
    label = torch.tensor([2, 0])
    assert torch.equal(
        net(2, 3).memorised(torch.zeros(2, 2), label)[:, 2:], functional.one_hot(label, 3).float()
    )
