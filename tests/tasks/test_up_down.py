"""Up-down: each weight's gradient is the one of the paper's appendix, and dreams are of the right label."""

from typing import Any

import pytest
import torch
from torch import Tensor

from modules.evaluation.up_down_evaluator import dreams
from modules.models.boltzmann.generative_belief_net import GenerativeBeliefNet
from modules.models.feedforward.neuron import Neuron
from modules.tasks.up_down import UpDown

SHAPE = [1, 2, 2]


def batch(num_samples: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, *SHAPE, generator=generator).repeat(num_samples, 1, 1, 1)
    return {"image": image, "label": torch.ones(num_samples, dtype=torch.int64)}


def task(**keywords: Any) -> UpDown:
    torch.manual_seed(0)
    made = UpDown(GenerativeBeliefNet(SHAPE, num_classes=3, hidden_sizes=(3, 4)), num_classes=3, **keywords)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def test_gradients_are_those_of_the_appendix() -> None:
    made, given = task(), batch(200_000)
    up, down, top = made.model.recognition[0], made.model.generation[0], made.model.top
    sampled: list[Tensor] = []
    gibbs = made.model.gibbs_step

    def listened(hidden: Tensor) -> tuple[Tensor, Tensor]:
        sampled.extend(gibbs(hidden))
        return sampled[0], sampled[1]

    made.model.gibbs_step = listened  # type: ignore[method-assign]
    made.loss(given).quotient.backward()
    with torch.no_grad():
        pixels, num = given["image"].flatten(1), 200_000
        likely = up(pixels).sigmoid()
        # Means over the states that can be sampled, here of three independent units.
        states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
        chances = torch.where(states == 1, likely[0], 1 - likely[0]).prod(1)
        wake = (chances[:, None] * (down(states).sigmoid() - pixels[0])).T @ states
        assert down.weight.grad is not None and up.weight.grad is not None
        torch.testing.assert_close(down.weight.grad, wake, rtol=0, atol=0.01)
        features, label = sampled[0][:, :3], sampled[0][:, 3:]
        assert torch.equal(label.sum(1), torch.ones(num))
        # Pixels are sampled from the features; their means have no closed form here, the bias has.
        sleep = []
        for state in states:
            of_pixels = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
            mean = down(state).sigmoid()
            weight = torch.where(of_pixels == 1, mean, 1 - mean).prod(1)
            sleep.append((weight[:, None] * up(of_pixels).sigmoid()).sum(0) - state)
        share = (features[:, None] == states).all(2).float().mean(0)
        torch.testing.assert_close(up.bias.grad, share @ torch.stack(sleep), rtol=0, atol=0.01)
        of_data = torch.stack(
            [top.hidden_probabilities(made.model.memorised(s[None], given["label"][:1]))[0] for s in states]
        )
        data = torch.cat([states, torch.tensor([0.0, 1, 0]).expand(8, 3)], dim=1)
        statistic = (
            top.hidden_probabilities(sampled[0]).T @ sampled[0] / num - (chances[:, None] * of_data).T @ data
        )
        assert top.weights.grad is not None
        torch.testing.assert_close(top.weights.grad, statistic, rtol=0, atol=0.01)


def test_chains_go_on() -> None:
    made = task(num_gibbs_steps=2)
    made.loss(batch(6))
    first = made.chains.particles
    made.loss(batch(4))
    assert (
        first is not None
        and made.chains.particles is not None
        and made.chains.particles.shape == first.shape == (6, 4)
    )


def test_it_dreams_what_it_learned() -> None:
    torch.manual_seed(0)
    made = UpDown(GenerativeBeliefNet(SHAPE, num_classes=2, hidden_sizes=(8, 8)), num_classes=2)
    corners = torch.eye(4).reshape(4, *SHAPE)
    label = torch.randint(0, 2, (1000, 50))
    optimizer = torch.optim.SGD(made.parameters(), lr=0.3)
    for step in label:
        optimizer.zero_grad()
        made.loss({"image": corners[3 * step], "label": step}).quotient.backward()
        optimizer.step()
    made.eval()
    assert made.model(corners[[0, 3]]).argmax(1).tolist() == [0, 1]
    dreamt = dreams(made.model, 50, 100).reshape(2, 50, 4).mean(1)
    torch.testing.assert_close(dreamt, corners[[0, 3]].flatten(1), rtol=0, atol=0.15)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="num_gibbs_steps=0"):
        task(num_gibbs_steps=0)
    with pytest.raises(ValueError, match="Neuron has no associative memory"):
        UpDown(Neuron(SHAPE, 3), num_classes=3)
