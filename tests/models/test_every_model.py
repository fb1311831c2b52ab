"""Every model under conf/model, found by glob: it learns, it is saved whole, it computes what it computed.

After a change of arithmetic that is meant, write the golden losses again with
`TRAINYARD_WRITE_GOLDEN=1 python -m pytest tests/models`.
"""

import copy
import io
import json
import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from modules.configuration.composition.compose import compose
from modules.configuration.static_analysis.targets import build
from modules.models.boltzmann.generative_belief_net import GenerativeBeliefNet
from modules.models.boltzmann.rbm import RBM
from modules.tasks.contrastive_divergence import reconstruction_error

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
MODELS = sorted(
    path.relative_to(ROOT / "conf" / "model").with_suffix("").as_posix()
    for path in (ROOT / "conf" / "model").rglob("*.yaml")
)


@pytest.fixture(params=MODELS)
def built(request):
    config = compose([f"model={request.param}", "data=fashion_mnist"])
    torch.manual_seed(0)
    model = build(config["model"])
    generator = torch.Generator().manual_seed(1)
    shape = config["data"]["fields"]["image"]["shape"]
    images = torch.rand(16, *shape, generator=generator)
    labels = torch.randint(0, len(config["data"]["fields"]["label"]["classes"]), (16,), generator=generator)
    return request.param, model, images, labels


def objective(model, images, labels):
    """The cross-entropy of classes, or of pixels where the model draws its input; an RBM passes it back.

    What a model does beside its forward pass is asked for too.
    """
    if isinstance(model, RBM):
        return reconstruction_error(model.layers[0], images.flatten(1)).mean()
    answer = model(images)
    if answer.shape == images.shape:
        return functional.binary_cross_entropy_with_logits(answer, images)
    cost = functional.cross_entropy(answer, labels)
    if isinstance(model, GenerativeBeliefNet):
        cost = cost + functional.mse_loss(model.decode(model.features(images)), images.flatten(1))
    return cost


def knows(model, images, labels):
    if isinstance(model, RBM):
        return objective(model, images, labels) < 0.2 * images.var()
    answer = model(images)
    if answer.shape == images.shape:
        return (answer.sigmoid() - images).square().mean() < 0.2 * images.var()
    return (answer.argmax(1) == labels).all()


def ten_steps(model, images, labels):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = objective(model, images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_gradient_reaches_every_parameter(built):
    _, model, images, labels = built
    objective(model, images, labels).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
def test_it_learns_one_batch_by_heart(built):
    _, model, images, labels = built
    # Deep nets without normalisation want the smaller rate.
    assert any(learns(copy.deepcopy(model), lr, images, labels) for lr in (0.003, 0.001))


def learns(model, lr, images, labels):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(1, 301):
        optimizer.zero_grad()
        objective(model, images, labels).backward()
        optimizer.step()
        if step % 20 == 0 and knows(model.eval(), images, labels):
            return True
        model.train()
    return False


def test_it_comes_back_whole_from_a_file(built):
    _, model, images, labels = built
    ten_steps(model, images, labels)
    model.eval()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    expected = model(images)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    assert not torch.equal(model(images), expected)
    file.seek(0)
    model.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(model(images), expected)


def test_ten_steps_cost_what_they_cost_before(built):
    name, model, images, labels = built
    losses = ten_steps(model, images, labels)
    golden = GOLDEN / f"{name.replace('/', '-')}.json"
    if os.environ.get("TRAINYARD_WRITE_GOLDEN"):
        golden.write_text(json.dumps([round(loss, 6) for loss in losses]) + "\n")
    assert losses == pytest.approx(json.loads(golden.read_text()), rel=1e-3)
    assert losses[-1] < losses[0]
