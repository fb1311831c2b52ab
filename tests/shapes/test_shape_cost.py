from typing import Any

import pytest
import torch
from rich.console import Console

from modules.configuration.composition.compose import compose
from modules.configuration.static_analysis.targets import build
from modules.shapes.cost import measure_multiply_adds_per_s
from modules.shapes.shape_check import check_shapes
from modules.shapes.shape_table import bytes_text, shape_table
from tests.shapes.own_networks import chain


def most_bytes(config) -> int:
    """What a real step holds at its height, as torch's allocator reports it."""
    task = build(config["task"], model=build(config["model"])).train()
    optimizer = build(config["optimizer"], params=task.model.parameters())
    image, num_samples = config["data"]["fields"]["image"]["shape"], config["trainer"]["batch_size"]
    batch = {
        "image": torch.randint(0, 256, (num_samples, *image), dtype=torch.uint8),
        "label": torch.randint(0, 10, (num_samples,)),
    }
    task.loss(batch).quotient.backward()
    optimizer.step()
    optimizer.zero_grad()
    kept = [*task.parameters(), *task.buffers()]
    kept += [value for state in optimizer.state.values() for value in state.values()]
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        task.loss(batch).quotient.backward()
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    recorded: list[Any] = profile.profiler.kineto_results.events()  # torch declares no `nbytes`
    events = [event for event in recorded if event.name() == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    assert most > 0
    return most + sum(tensor.numel() * tensor.element_size() for tensor in kept)


@pytest.mark.parametrize("recipe", ["neuron", "perceptron", "lenet"])
@pytest.mark.parametrize("batch_size", [16, 256])
def test_memory_is_what_the_allocator_sees(recipe, batch_size):
    config = compose([f"recipe={recipe}", f"trainer.batch_size={batch_size}"])
    assert check_shapes(config).cost.memory_bytes == pytest.approx(most_bytes(config), rel=0.02)


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        ({"_target_": "torch.optim.SGD", "lr": 0.1}, 0),
        ({"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9, "fused": True}, 1),
        ({"_target_": "torch.optim.AdamW", "lr": 0.1}, 2),
    ],
)
def test_state_of_the_optimizer(configure, optimizer, states):
    linear = ("Linear", {"in_features": 784, "out_features": 10})
    config = configure(chain(("Flatten", {}), linear)) | {"optimizer": optimizer}
    cost = check_shapes(config).cost
    num_counters = 2 if states == 2 else 0  # Adam counts the steps of weight and bias
    assert cost.optimizer_bytes == 4 * (states * 7850 + num_counters)


def test_an_optimizer_that_needs_numbers_is_left_open(configure):
    linear = ("Linear", {"in_features": 784, "out_features": 10})
    config = configure(chain(("Flatten", {}), linear)) | {"optimizer": {"_target_": "torch.optim.LBFGS"}}
    cost = check_shapes(config).cost
    assert cost.optimizer_bytes is None
    assert cost.memory_bytes == cost.weight_bytes + cost.working_bytes


def test_activations_grow_with_the_batch_alone(configure):
    layers = ("Flatten", {}), ("Linear", {"in_features": 784, "out_features": 50}), ("Tanh", {})
    model = chain(*layers, ("Linear", {"in_features": 50, "out_features": 10}))
    cost = check_shapes(configure(model)).cost
    # input, tanh's output, and what the loss keeps: probabilities' logarithms (the labels are the batch's)
    assert cost.activation_bytes == 4 * (784 + 50 + 10)
    assert cost.backward_multiply_adds == 784 * 50 + 2 * 50 * 10


@pytest.mark.parametrize(
    ("channels", "groups", "transposed"), [(6, 1, ""), (6, 2, ""), (6, 6, ""), (6, 3, "Transpose")]
)
def test_a_convolution_in_groups_costs_twice_as_much_back_as_forth(configure, channels, groups, transposed):
    first = ("Conv2d", {"in_channels": 1, "out_channels": channels, "kernel_size": 1})
    sizes = {"in_channels": channels, "out_channels": channels, "kernel_size": 5, "groups": groups}
    layers = [first, (f"Conv{transposed}2d", sizes), ("Flatten", {})]
    side = 32 if transposed else 24
    cost = check_shapes(
        configure(chain(*layers, ("Linear", {"in_features": channels * side**2, "out_features": 10})))
    ).cost
    windows = 28**2 if transposed else side**2
    second = windows * 25 * channels * channels // groups
    assert cost.multiply_adds == 28**2 * channels + second + channels * side**2 * 10
    # Nobody asks for the gradient of the image.
    assert cost.backward_multiply_adds == 2 * cost.multiply_adds - 28**2 * channels


def test_the_table_fits_100_columns():
    report = check_shapes(compose(["recipe=lenet", "model.num_filters=[32,64]", "model.hidden_sizes=[128]"]))
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(shape_table(report, measure_multiply_adds_per_s()))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 100
    for expected in ("batch×64×8×8", "3,276,800", "184,586", "memory of a step", "at least"):
        assert expected in text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (23_741_632, "23.7 MB"), (5e12, "5 TB")]
)
def test_bytes(num_bytes, text):
    assert bytes_text(num_bytes) == text
