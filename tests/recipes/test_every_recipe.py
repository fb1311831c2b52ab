"""Every recipe under conf/recipe and every model under conf/model, found by glob: it learns, it is saved
whole, it computes what it computed.

Each gets a batch made of its own data's schema; what it learns is its own task's to say. A recipe's phases
are tried as recipes of their own, and a model that no recipe uses in the place of the default recipe's.

After a change of arithmetic that is meant, write the golden losses again with
`TRAINYARD_WRITE_GOLDEN=1 python -m pytest tests/recipes`.
"""

import copy
import functools
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from modules.configuration.composition.compose import compose
from modules.configuration.composition.recipes import recipe_files
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.phases import trainings
from modules.configuration.schema.settings import read
from modules.registry.answering import run
from modules.registry.export import export_program
from modules.shapes.symbolic import default_dtype
from modules.tasks.build_task import build_task
from modules.tasks.step import gradients_of, turns
from modules.tasks.task import Task
from tests.batches import batch_of
from tests.made_vocabularies import made_vocabularies
from tests.plans import recipe_configuration

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
NUM_SAMPLES, NUM_STEPS, STEPS_AT_A_TIME, LEARNING_RATES = 8, 600, 20, (0.003, 0.001, 0.01)
SMALLER = {
    "palace_and_starry_night": ["data.fields.content.shape=[3,32,32]", "data.fields.style.shape=[3,32,32]"],
    "photographs_and_paintings": [
        "data.fields.content.shape=[3,32,32]",
        "model.num_filters=[8,16]",
        "model.num_blocks=1",
        "model.last=conv2_1",
        "~task.content_weights.conv4_2",
        "+task.content_weights.conv2_1=1.0e-7",
        *(f"~task.style_weights.conv{block}_1" for block in (3, 4, 5)),
        "task.style_weights.conv1_1=1.0e-6",
        "task.style_weights.conv2_1=1.0e-6",
        "task.augmentation=null",
    ],
    "captioned_things": [
        "data.fields.image.shape=[3,16,16]",
        "data.fields.mask.shape=[16,16]",
    ],
    "things_adversarial": ["model.generator_filters=[32,16]", "model.discriminator_filters=[16,32]"],
    "moving_scenes": ["data.fields.clip.shape=[frames,3,32,32]"],
    "emoji_clips": ["data.fields.clip.shape=[frames,3,32,32]"],
    "emoji": ["data.fields.image.shape=[3,32,32]"],
    "stamps": ["data.fields.image.shape=[3,32,32]"],
    "captioned_scenes": ["data.fields.image.shape=[3,32,32]", "data.fields.mask.shape=[32,32]"],
    "scenes": ["data.fields.image.shape=[3,64,64]", "data.fields.mask.shape=[64,64]"],
    "brain": ["data.fields.volume.shape=[1,6,6,6]", "data.fields.mask.shape=[6,6,6]"],
    "md_lstm_scenes": ["data.fields.image.shape=[3,32,32]", "data.fields.mask.shape=[32,32]"],
    "fcn_8s_wide": ["model.backbone.num_filters=[8,16,32,64]"],
    "ssd_wide": ["model.backbone.num_filters=[8,16,32,64]", "model.sizes_px=[5,10,20,40,60]"],
    "deconvolution_net": ["model.num_filters=[8,16,32]", "model.num_layers=[1,1,1]", "model.bottleneck=64"],
    "resnet_wide": ["model.num_filters=[8,16,32]"],
    "ssd": ["model.sizes_px=[5,10,20,40,60]"],
    "addition_grid_lstm": ["model.hidden_size=16", "model.depth=3"],
    "addition_grid_lstm_wide": ["model.hidden_size=8", "model.depth=4"],
    "parity_grid_lstm": ["model.hidden_size=32", "model.depth=3"],
    "number_plates": ["data.fields.image.shape=[1,16,96]", "model.num_filters=[8,16,16,16]"],
    "digit_lines": ["data.fields.image.shape=[1,16,160]"],
    "asterisk": ["model.hidden_size=32"],
}
"""Datasets and recipes with large samples are tried with smaller ones, or looked at by low layers alone."""
BY_HEART = 0.6
"""Of an error before, what is left once a batch is learned."""


def cases() -> Iterator[tuple[str, list[str], int, tuple[str, str]]]:
    """A name, overrides, the number of the training among all that they stand for, its model and its task."""
    used = set()
    for recipe in recipe_files():
        config = recipe_configuration(recipe)
        for number, training in enumerate(trainings(config)):
            used.add(training["model"]["_target_"])
            yield (
                training["name"],
                [f"recipe={recipe}", *SMALLER.get(config["data"]["name"], []), *SMALLER.get(recipe, [])],
                number,
                (training["model"]["_target_"], training["task"]["_target_"]),
            )
    for path in sorted((ROOT / "conf" / "model").rglob("*.yaml")):
        model = path.relative_to(ROOT / "conf" / "model").with_suffix("").as_posix()
        if f"_target_: {model}" not in path.read_text() and not any(
            f"_target_: {target}\n" in path.read_text() for target in used
        ):
            yield model, [f"model={model}"], 0, (model, "")


CASES: dict[str, tuple[list[str], int]] = {}
KINDS: dict[tuple[str, str], str] = {}
"""For each model with each task one case: the others differ in sizes and data alone."""
for _name, _overrides, _number, _kind in cases():
    CASES[_name] = (_overrides, _number)
    KINDS.setdefault(_kind, _name)


@functools.cache
def training_of(case: str) -> dict[str, Any]:
    """The configuration of a case, composed once: nothing may be changed in it."""
    overrides, number = CASES[case]
    return trainings(compose(overrides))[number] | {"case": case}


class Built:
    """A task and a batch for it.

    Args:
        config: of a training.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        torch.manual_seed(0)
        # In evaluation nothing is random but what a task samples itself: no dropout, no augmentation.
        self.task = build_task(config["model"], config["task"]).eval()
        self.batch = batch_of(config, NUM_SAMPLES)

    def optimizers(self, kind: Callable[..., Optimizer], lr: float) -> list[Optimizer]:
        """One for each step of the task."""
        return [kind(step.learned, lr=lr) for step in self.task.steps()]


@pytest.fixture(params=CASES)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return training_of(request.param)


@pytest.fixture
def built(config: dict[str, Any]) -> Built:
    return Built(config)


def measured(task: Task, batch: dict[str, Tensor]) -> dict[str, float]:
    """What validation says of one batch."""
    torch.manual_seed(3)
    with torch.no_grad():
        task.start_validation()
        means = {name: mean.value for name, mean in task.validate(batch).items()}
        return means | task.finish_validation()


def steps(built: Built, optimizers: list[Optimizer], num_steps: int) -> list[float]:
    losses = []
    torch.manual_seed(2)
    taken = built.task.steps()
    order = turns(taken)
    for number in range(num_steps):
        turn = order[number % len(order)]
        loss = taken[turn].loss(built.batch).quotient
        optimizers[turn].zero_grad()
        loss.backward(inputs=gradients_of(taken, taken[turn]))
        optimizers[turn].step()
        losses.append(loss.item())
    return losses


def test_a_gradient_reaches_every_parameter(built: Built) -> None:
    taken = built.task.steps()
    for step in taken:
        step.loss(built.batch).quotient.backward(inputs=gradients_of(taken, step))
    for name, parameter in built.task.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
@pytest.mark.parametrize("config", KINDS.values(), indirect=True)
def test_it_learns_one_batch_by_heart(built: Built) -> None:
    """Every sample is classified right, or the errors are a fraction of what they were; of several that take
    turns each learns against the others as they begin."""
    if len(built.task.steps()) > 1:
        for number, step in enumerate(built.task.steps()):
            assert any(falls(built, number, lr) for lr in LEARNING_RATES), step.name
        return
    before = measured(built.task, built.batch)
    fresh = built.task
    found = []
    for num_steps in (NUM_STEPS // 4, NUM_STEPS):  # as a rule one of the rates needs few
        for lr in LEARNING_RATES:
            built.task = copy.deepcopy(fresh)
            optimizers = built.optimizers(torch.optim.Adam, lr)
            for _ in range(num_steps // STEPS_AT_A_TIME):
                steps(built, optimizers, STEPS_AT_A_TIME)
                after = measured(built.task, built.batch)
                if is_learned(built.task, before, after):
                    return
            found.append((lr, before, after))
    raise AssertionError(found)


def falls(built: Built, number: int, lr: float) -> bool:
    """Whether the loss of one step becomes a fraction of what it was, while nothing else learns."""
    player = Built(built.config)
    step = player.task.steps()[number]
    optimizer = torch.optim.Adam(step.learned, lr=lr)
    losses = []
    torch.manual_seed(2)
    for _ in range(NUM_STEPS // 2):
        loss = step.loss(player.batch).quotient
        optimizer.zero_grad()
        loss.backward(inputs=step.learned)
        optimizer.step()
        losses.append(loss.item())
        if sum(losses[-5:]) / 5 < BY_HEART * losses[0] and len(losses) > 5:
            return True
    return False


def is_learned(task: Task, before: dict[str, float], after: dict[str, float]) -> bool:
    if after.get("validation/accuracy") == 1.0:
        return True
    errors = [name for name, mode in task.validation_metrics.items() if mode == "min"]
    assert errors, "a task measures an error"
    return all(after[name] < BY_HEART * before[name] for name in errors)


@pytest.mark.parametrize("config", KINDS.values(), indirect=True)
def test_it_comes_back_whole_from_a_file(built: Built) -> None:
    steps(built, built.optimizers(torch.optim.SGD, 1e-4), 2)
    expected = measured(built.task, built.batch)
    file = io.BytesIO()
    torch.save(built.task.model.state_dict(), file)
    for parameter in built.task.model.parameters():
        torch.nn.init.zeros_(parameter)
    assert measured(built.task, built.batch) != expected
    file.seek(0)
    built.task.model.load_state_dict(torch.load(file, weights_only=True))
    assert measured(built.task, built.batch) == expected


@pytest.mark.slow
@pytest.mark.parametrize("config", KINDS.values(), indirect=True)
def test_what_it_serves_has_an_exported_form(config: dict[str, Any]) -> None:
    """Of batches of any size."""
    if "max_tokens" in config["task"]:
        config = config | {"task": config["task"] | {"max_tokens": 3}}
    built = Built(config)
    data = read(DataSettings, config["data"], "data")
    served = built.task.served(data, made_vocabularies(data))
    if served is None or not served.exported:
        return
    given = built.task.served_inputs(built.batch)
    program = export_program(served, [one[:2] for one in given]).module()
    with torch.no_grad():
        found, expected = run(program, given), run(served.module, given)
    for one, other in zip(found, expected, strict=True):
        # What is written ends with the longest text, and in a program never before the last step.
        torch.testing.assert_close(one[:, : other.shape[1]], other, rtol=1e-4, atol=1e-5)


def test_ten_steps_cost_what_they_cost_before(config: dict[str, Any]) -> None:
    """In float64, of which CPUs that round in different ways leave nine digits alike.

    A larger rate makes a deep net with batch normalisation chaotic: rounding grows tenfold at each step.
    """
    with default_dtype({"trainer": {"precision": "64-true"}}):
        built = Built(config)
        losses = steps(built, built.optimizers(torch.optim.SGD, 1e-4), 10)
    golden = GOLDEN / f"{config['case'].replace('/', '-')}.json"
    if os.environ.get("TRAINYARD_WRITE_GOLDEN"):
        golden.write_text(json.dumps([round(loss, 12) for loss in losses]) + "\n")
    assert losses == pytest.approx(json.loads(golden.read_text()), rel=1e-9, abs=1e-9)
