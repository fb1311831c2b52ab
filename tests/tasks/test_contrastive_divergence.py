"""Contrastive divergence: its gradient, its chains, its place in a training, what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.metrics.partition_function import exact_log_partition
from modules.models.boltzmann.deep_belief_net import DeepBeliefNet
from modules.models.boltzmann.rbm import RBM
from modules.tasks.contrastive_divergence import ContrastiveDivergence
from tests.bricks.test_boltzmann_layer import states
from tests.tasks.data_of_batch import settings_of

SHAPE = [1, 2, 2]
FLOATS = "intensity 0..1"


def task(hidden_size: int = 3, **keywords: Any) -> ContrastiveDivergence:
    torch.manual_seed(0)
    kind = {name: keywords.pop(name) for name in ("visible_units", "visible_std") if name in keywords}
    made = ContrastiveDivergence(RBM(SHAPE, hidden_size, **kind), units=FLOATS, **keywords)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def batch(num_samples: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {"image": torch.rand(num_samples, *SHAPE, generator=generator)}


def gradients(made: ContrastiveDivergence, given: dict[str, Tensor]) -> list[Tensor]:
    made.zero_grad()
    made.loss(given).quotient.backward()
    return [parameter.grad for parameter in made.layer.parameters() if parameter.grad is not None]


def autograd_step(made: ContrastiveDivergence, given: dict[str, Tensor], optimizer: SGD) -> Mean:
    loss = made.loss(given)
    optimizer.zero_grad()
    loss.quotient.backward()
    optimizer.step()
    return Mean(loss.total.detach(), loss.count)


@pytest.mark.parametrize("kind", [{}, {"visible_units": "gaussian", "visible_std": 0.5}])
@pytest.mark.parametrize("persistent", [False, True])
def test_gradient_is_that_of_the_free_energies(kind: dict, persistent: bool, monkeypatch: Any) -> None:
    made, given = task(**kind, persistent=persistent, num_gibbs_steps=3), batch()
    fantasies = torch.rand(5, 4)
    monkeypatch.setattr(made, "_fantasies", lambda visible: fantasies)
    found = gradients(made, given)
    visible = made.visible(given)
    gap = made.layer.free_energy(visible).mean() - made.layer.free_energy(fantasies).mean()
    expected = torch.autograd.grad(gap, list(made.layer.parameters()))
    assert len(found) == 3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    weights = found[0] if not kind else found[0] * 0.5
    hidden = [made.layer.hidden_probabilities(v) for v in (visible, fantasies)]
    statistic = hidden[1].T @ fantasies / 5 - hidden[0].T @ visible / 6
    torch.testing.assert_close(weights, statistic)


@pytest.mark.parametrize("num_gibbs_steps", [1, 2])
def test_mean_gradient_is_that_of_the_chain_visited_state_by_state(num_gibbs_steps: int) -> None:
    made = task(num_gibbs_steps=num_gibbs_steps)
    start = torch.tensor([[1.0, 0, 1, 1]])
    given = {"image": start.reshape(1, *SHAPE).repeat(200_000, 1, 1, 1)}
    found = gradients(made, given)
    visible, hidden = states(4).float(), states(3).float()
    with torch.no_grad():
        up = torch.distributions.Bernoulli(made.layer.hidden_probabilities(visible)[:, None]).log_prob(hidden)
        down = torch.distributions.Bernoulli(made.layer.visible_mean(hidden)[:, None]).log_prob(visible)
        step = up.sum(2).exp() @ down.sum(2).exp()  # from each visible state to each
        chances = (visible == start).all(1).float() @ torch.linalg.matrix_power(step, num_gibbs_steps)
        of_data = made.layer.hidden_probabilities(start)
        of_model = made.layer.hidden_probabilities(visible)
        expected = (chances[:, None] * of_model).T @ visible - of_data.T @ start
        assert chances.sum() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=0.005)
    torch.testing.assert_close(found[1], chances @ visible - start[0], rtol=0, atol=0.005)
    torch.testing.assert_close(found[2], chances @ of_model - of_data[0], rtol=0, atol=0.005)


def test_persistent_chains_come_to_the_machines_own_distribution() -> None:
    made = task(persistent=True)
    given = {"image": batch(1)["image"].repeat(50_000, 1, 1, 1).round()}
    for _ in range(30):
        found = gradients(made, given)
    log_z = torch.tensor(exact_log_partition(made.layer), requires_grad=False)
    visible = states(4).float()
    chances = (-made.layer.free_energy(visible) - log_z).exp().detach()
    assert float(chances.sum()) == pytest.approx(1, abs=1e-5)
    negative_log_likelihood = (
        made.layer.free_energy(made.visible(given)).mean() - (chances * made.layer.free_energy(visible)).sum()
    )
    expected = torch.autograd.grad(negative_log_likelihood, list(made.layer.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.01)


def test_persistent_chains_go_on_where_they_were() -> None:
    made = task(persistent=True)
    made.loss(batch())
    first = made.chains.particles
    assert first is not None and first.shape == (6, 3)
    made.loss(batch(4))  # their number does not depend on later batches
    assert made.chains.particles is not None and made.chains.particles.shape == (6, 3)
    state = made.state_of_all_workers()
    assert state.keys() == {"particles"} and not state.keys() & made.state_dict().keys()
    other = task(persistent=True)
    other.take_state(state)
    assert state == {}
    assert torch.equal(other.chains.particles, made.chains.particles)  # type: ignore[arg-type]
    assert task().chains.particles is None


def test_sparsity_pulls_activities_to_their_target() -> None:
    plain, sparse = task(), task(sparsity_target=0.2, sparsity_cost=0.5)
    results = []
    for made in (plain, sparse):
        torch.manual_seed(3)
        results.append(gradients(made, batch()))
    visible = plain.visible(batch())
    excess = plain.layer.hidden_probabilities(visible).mean(0) - 0.2
    torch.testing.assert_close(results[1][0] - results[0][0], 0.5 * excess[:, None] * visible.mean(0))
    torch.testing.assert_close(results[1][1], results[0][1])
    torch.testing.assert_close(results[1][2] - results[0][2], 0.5 * excess)


def test_binarised_pixels_are_sampled_by_their_grey_level() -> None:
    made = task(binarise=True)
    given = {"image": batch(1)["image"].repeat(20_000, 1, 1, 1)}
    visible = made.visible(given)
    assert set(visible.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(visible.mean(0), given["image"][0].flatten(), rtol=0, atol=0.02)


def test_biases_do_not_decay() -> None:
    made = task()
    optimizer = SGD(made.layer.parameters(), lr=1.0, weight_decay=0.1)
    optimizer.param_groups[0]["initial_lr"] = 1.0
    made.regroup(optimizer)
    before = [parameter.detach().clone() for parameter in made.layer.parameters()]
    for parameter in made.layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weights, *biases = made.layer.parameters()
    torch.testing.assert_close(weights.detach(), 0.9 * before[0])
    for bias, old in zip(biases, before[1:], strict=True):
        assert torch.equal(bias, old)
    assert all("initial_lr" in group for group in optimizer.param_groups)


@pytest.mark.parametrize(
    "optimizer", [{}, {"momentum": 0.9}, {"nesterov": True, "momentum": 0.5}, {"maximize": True}]
)
@pytest.mark.parametrize("kind", [{}, {"visible_units": "gaussian", "visible_std": 0.5}])
def test_the_short_way_down_leads_where_autograd_does(kind: dict, optimizer: dict) -> None:
    def descended(way: Any) -> tuple[list[Tensor], list[Tensor]]:
        made = task(**kind, persistent=True, sparsity_cost=0.3)
        built = SGD(made.layer.parameters(), lr=0.1, weight_decay=0.2, **optimizer)
        made.regroup(built)
        torch.manual_seed(2)
        losses = [way(made, batch(), built).quotient for _ in range(4)]
        return losses, list(made.layer.parameters())

    (losses, short), (autograd_losses, long) = (
        descended(ContrastiveDivergence.gradient_step),
        descended(autograd_step),
    )
    torch.testing.assert_close(losses, autograd_losses)
    torch.testing.assert_close(short, long)
    assert not torch.allclose(short[0], task(**kind).layer.weights, atol=0.01)
    assert not any(loss.requires_grad for loss in losses)


def test_one_layer_of_a_stack_learns_from_the_probabilities_below() -> None:
    torch.manual_seed(0)
    model = DeepBeliefNet(SHAPE, num_classes=2, hidden_sizes=[5, 3])
    made = ContrastiveDivergence(model, layer=1, units=FLOATS)
    given = batch()
    first, second = model.boltzmann_layers()
    expected = first.hidden_probabilities(given["image"].flatten(1))
    assert torch.equal(made.visible(given), expected)
    made.loss(given).quotient.backward()
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {"layers.1.weights", "layers.1.visible_bias", "layers.1.hidden_bias"}
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == learning
    served = made.served(settings_of(given), {})
    assert torch.equal(served.module(given["image"]), second.hidden_probabilities(expected))
    assert served.outputs[0].shape == (3,) and served.outputs[0].kind == "values"
    assert set(made.state_dict()) == {f"model.{name}" for name in model.state_dict()}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_gibbs_steps": 0}, "num_gibbs_steps=0"),
        ({"layer": 1}, "none of the 1 layers"),
        ({"layer": -1}, "none of the 1 layers"),
        ({"sparsity_target": 0.0}, "sparsity_target=0.0"),
        ({"sparsity_cost": -1.0}, "sparsity_cost=-1.0"),
    ],
)
def test_impossible_settings_are_refused(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**keywords)


def test_a_model_without_boltzmann_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no Boltzmann layers"):
        ContrastiveDivergence(torch.nn.Linear(2, 2))


def test_bernoulli_units_take_what_lies_in_0_to_1() -> None:
    made = task()
    whole = torch.tensor([0, 128, 255, 51], dtype=torch.uint8).reshape(1, *SHAPE)
    assert made.inputs({"image": whole}).flatten().tolist() == pytest.approx([0, 128 / 255, 1, 0.2])
    with pytest.raises(UserError, match=r"holds 0.25..3; Bernoulli units need 0\.\.1"):
        made.loss({"image": torch.tensor([0.25, 0.5, 1.0, 3.0]).reshape(1, *SHAPE)})
    made.units = "kelvin"
    with pytest.raises(UserError, match="float32 in 'kelvin'"):
        made.loss(batch())
    made.units = FLOATS
    with pytest.raises(UserError, match="int16"):
        made.loss({"image": whole.short()})
    gaussian = task(visible_units="gaussian")
    gaussian.units = "kelvin"
    assert gaussian.loss({"image": 300 * batch()["image"]}).quotient.isfinite()


def test_it_learns_in_mixed_precision() -> None:
    made = task(persistent=True, sparsity_cost=0.1)
    plain = gradients(made, batch(500))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = gradients(made, batch(500))
    for one, other in zip(mixed, plain, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=0.15)


@pytest.mark.parametrize("optimizer", [{}, {"momentum": 0.9}])
def test_the_short_way_down_learns_in_mixed_precision(optimizer: dict) -> None:
    def descended(dtype: torch.dtype) -> list[Tensor]:
        made = task(persistent=True)
        built = SGD(made.layer.parameters(), lr=0.1, **optimizer)
        made.regroup(built)
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            made.gradient_step(batch(500), built)
        return list(made.layer.parameters())

    for mixed, plain in zip(descended(torch.bfloat16), descended(torch.float32), strict=True):
        assert mixed.dtype == torch.float32
        torch.testing.assert_close(mixed, plain, rtol=0, atol=0.015)
