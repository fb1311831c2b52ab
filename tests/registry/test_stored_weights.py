"""Weights from a file that may come from anyone."""

import math
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from modules.configuration.errors import UserError
from modules.models.feedforward.perceptron import Perceptron
from modules.registry.export import Description, export_program, save_program
from modules.registry.stored_weights import load_version, load_weights
from modules.registry.versions import PROGRAM
from modules.tasks.served import Served, ServedInput, ServedOutput

SHAPE = (1, 12, 12)


class Malice:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def perceptron(**changes) -> Perceptron:
    return Perceptron(SHAPE, num_classes=3, **{"hidden_sizes": [5], **changes})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "weights.pt"
    torch.save(perceptron().state_dict(), file)
    return file


def refusal(model: nn.Module, file: Path) -> str:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(UserError) as raised:
        load_weights(model, file)
    assert "\n" not in str(raised.value) and file.name in str(raised.value)
    assert "NaN" in str(raised.value) or all(
        torch.equal(weight, before[name]) for name, weight in model.state_dict().items()
    )
    return str(raised.value)


def test_every_weight_arrives(saved: Path) -> None:
    model = perceptron()
    load_weights(model, saved)
    expected = torch.load(saved, weights_only=True)
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_file_is_one_line(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    assert "damaged" in refusal(perceptron(), saved)


def test_a_pickle_in_the_file_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for number, save in enumerate(
        (torch.save, lambda content, file: file.write_bytes(pickle.dumps(content)))
    ):
        file = tmp_path / f"{number}.pt"
        save({**perceptron().state_dict(), "malice": Malice(mark)}, file)
        assert "nothing of it was run" in refusal(perceptron(), file)
    assert not mark.exists()


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_something_else_than_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert "holds no weights by name" in refusal(perceptron(), tmp_path / "weights.pt")


def test_weights_of_a_training_in_another_precision_fit(saved: Path) -> None:
    model = perceptron().double()
    load_weights(model, saved)
    for name, weight in torch.load(saved, weights_only=True).items():
        assert torch.equal(model.state_dict()[name], weight.double())


def test_weights_of_another_model_name_the_first_difference(saved: Path) -> None:
    whole = {name: weight.int() for name, weight in perceptron().state_dict().items()}
    torch.save(whole, saved.with_name("whole.pt"))
    assert "int32 in the file, torch.float32" in refusal(perceptron(), saved.with_name("whole.pt"))
    assert "[5, 144] in the file, [6, 144] in the model" in refusal(perceptron(hidden_sizes=[6]), saved)
    assert "is missing" in refusal(perceptron(hidden_sizes=[5, 5]), saved)
    torch.save({**torch.load(saved, weights_only=True), "more": torch.zeros(1)}, saved)
    assert "'more' is no weight of it" in refusal(perceptron(), saved)
    assert "is not there" in refusal(perceptron(), saved.with_name("nowhere.pt"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    weights = perceptron().state_dict()
    next(iter(weights.values()))[0] = value
    torch.save(weights, tmp_path / "weights.pt")
    assert "diverged" in refusal(perceptron(), tmp_path / "weights.pt")


def test_a_version_s_weights_come_from_its_file_or_from_its_program(tmp_path: Path) -> None:
    model = perceptron()
    module = nn.Sequential(OrderedDict(model=model, probabilities=nn.Softmax(dim=1)))
    inputs = (ServedInput("image", "image", SHAPE),)
    outputs = (ServedOutput("label", "classes", (3,), ("a", "b", "c")),)
    program = export_program(Served(module, inputs, outputs), [torch.rand(2, *SHAPE)])
    (tmp_path / "data").mkdir()
    save_program(program, Description("net", "0" * 64, inputs, outputs), tmp_path / PROGRAM)
    of_program, of_file = perceptron(), perceptron()
    load_version(of_program, tmp_path)
    torch.save(perceptron().state_dict(), tmp_path / "weights.pt")
    load_version(of_file, tmp_path)
    saved = torch.load(tmp_path / "weights.pt", weights_only=True)
    for name, weight in model.state_dict().items():
        assert torch.equal(of_program.state_dict()[name], weight)
        assert torch.equal(of_file.state_dict()[name], saved[name])
    with pytest.raises(UserError, match=r"weights\.pt does not fit"):
        load_version(perceptron(hidden_sizes=[6]), tmp_path)
