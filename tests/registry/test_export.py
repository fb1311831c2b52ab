"""Exported programs: what is saved is what is loaded, here and where this repository is unknown."""

import io
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.models.convolutional.lenet import LeNet
from modules.models.feedforward.neuron import Neuron
from modules.models.feedforward.perceptron import Perceptron
from modules.registry.export import Description, export_program, load_program, save_program
from modules.registry.gates import signature_holds
from modules.registry.model_signature import Port, Signature, signature_tag
from modules.registry.program_archive import vetted
from modules.registry.versions import Version
from modules.tasks.served import Served, ServedInput, ServedOutput

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE = (1, 12, 12)
CLASSES = ("stripe", 'a "quoted" class', "punkt ●")
INPUT = ServedInput("image", "image", SHAPE)
OUTPUT = ServedOutput("label", "classes", (len(CLASSES),), CLASSES)
DESCRIPTION = Description("net", "0" * 64, (INPUT,), (OUTPUT,))
MODELS = {
    "neuron": lambda: Neuron(SHAPE, len(CLASSES)),
    "perceptron": lambda: Perceptron(SHAPE, len(CLASSES), hidden_sizes=[6], dropout=0.5),
    "lenet": lambda: LeNet(
        SHAPE, len(CLASSES), num_filters=[4], kernel_size=3, hidden_sizes=[5], dropout=0.5
    ),
}
ELSEWHERE = """
import importlib.util, json, sys
import numpy, torch
program = torch.export.load(sys.argv[1]).module()
inputs = numpy.load(sys.argv[2])
answers = [program(torch.from_numpy(inputs[:size])).detach().tolist() for size in (1, 2, len(inputs))]
known = [name for name in ("modules", "pipelines") if name in sys.modules or importlib.util.find_spec(name)]
print(json.dumps({"answers": answers, "known": known}))
"""


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[request.param]()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(1))


def served(model: nn.Module) -> Served:
    return Served(nn.Sequential(model, nn.Softmax(dim=1)), (INPUT,), (OUTPUT,))


def eager(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return served(model).module.eval()(inputs)


def test_a_loaded_program_answers_as_the_model_for_any_batch(
    model: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    model.train()  # as training leaves it: dropout must be off in the program all the same
    save_program(export_program(served(model), [images[:2]]), DESCRIPTION, tmp_path / "net.pt2")
    program, description = load_program(tmp_path / "net.pt2")
    assert description == DESCRIPTION
    for size in (1, 2, 9):
        answer = program(images[:size])
        torch.testing.assert_close(answer, eager(model, images[:size]))
        torch.testing.assert_close(answer.sum(dim=1), torch.ones(size))
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt2"]


@pytest.mark.slow
def test_a_fresh_process_without_this_repository_runs_it(
    model: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    save_program(export_program(served(model), [images[:2]]), DESCRIPTION, tmp_path / "net.pt2")
    numpy.save(tmp_path / "inputs.npy", images.numpy())
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, "net.pt2", "inputs.npy"],
        cwd=tmp_path,
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["known"] == []
    for size, answer in zip((1, 2, 9), found["answers"], strict=True):
        torch.testing.assert_close(torch.tensor(answer), eager(model, images[:size]))


def test_the_file_says_nothing_of_the_machine_it_comes_from(
    model: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    save_program(export_program(served(model), [images[:2]]), DESCRIPTION, tmp_path / "net.pt2")
    content = (tmp_path / "net.pt2").read_bytes()
    assert str(REPOSITORY).encode() not in content and sys.prefix.encode() not in content


def test_another_size_of_image_is_refused_by_the_program(images: Tensor, tmp_path: Path) -> None:
    save_program(export_program(served(MODELS["lenet"]()), [images[:2]]), DESCRIPTION, tmp_path / "net.pt2")
    program, _ = load_program(tmp_path / "net.pt2")
    with pytest.raises(AssertionError, match="12"):
        program(torch.rand(2, 1, 13, 12))


def test_a_program_from_before_outputs_had_names_is_a_classifiers(images: Tensor, tmp_path: Path) -> None:
    known = {"name": "net", "identity": "0" * 64, "input_shape": SHAPE, "classes": CLASSES}
    buffer = io.BytesIO()
    program = export_program(served(MODELS["neuron"]()), [images[:2]])
    torch.export.save(program, buffer, extra_files={"description.json": json.dumps(known)})
    (tmp_path / "net.pt2").write_bytes(vetted(buffer.getvalue(), "net.pt2"))
    found = load_program(tmp_path / "net.pt2")[1]
    assert found == replace(DESCRIPTION, outputs=(replace(OUTPUT, name="outputs"),))
    registered = Version("net", 1, "run", {"input_shape": "[1, 12, 12]", "classes": json.dumps(CLASSES)})
    assert registered.signature == Signature((Port("", SHAPE),), (Port("", (3,), CLASSES),))
    today = Version("net", 2, "run", {"signature": signature_tag([asdict(INPUT)], [asdict(OUTPUT)])})
    assert signature_holds(today.signature, registered.signature).passed


def test_a_program_of_values_before_inputs_had_kinds_is_still_read() -> None:
    known = {
        "name": "net",
        "identity": "0" * 64,
        "input_shape": [5],
        "outputs": ["a"],
        "output_kind": "values",
    }
    found = Description.from_plain(known)
    assert (found.inputs[0].kind, found.inputs[0].shape, found.outputs[0].kind) == ("vector", (5,), "values")


def test_a_model_that_branches_on_values_is_one_line(images: Tensor) -> None:
    class Moody(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3] if x.sum() > 0 else -x.flatten(1)[:, :3]

    with pytest.raises(UserError, match="the model cannot be exported") as raised:
        export_program(Served(Moody(), (INPUT,), (OUTPUT,)), [images[:2]])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": []},
        {"inputs": []},
        {"name": "a\nb"},
        {"inputs": [{"name": "a b", "kind": "image", "shape": [1, 2, 2]}]},
        {"inputs": [{"name": "a", "kind": "smell", "shape": [1, 2, 2]}]},
        {"inputs": [{"name": "a", "kind": "image", "shape": []}]},
        {"inputs": [{"name": "a", "kind": "image", "shape": [1, 0, 3]}]},
        {"inputs": [{"name": "a", "kind": "image", "shape": [1, True, 3]}]},
        {"inputs": [{"name": "a", "kind": "image", "shape": [1, "a b", 3]}]},
        {"inputs": [{"name": "a", "kind": "text", "shape": ["time"]}]},
        {"inputs": [{"name": "a", "kind": "sound", "shape": ["time"]}]},
        {"outputs": [{"name": "a", "kind": "classes", "shape": [2], "classes": ["a", 1]}]},
        {"outputs": [{"name": "a", "kind": "classes", "shape": [2], "classes": ["a"]}]},
        {"outputs": [{"name": "a", "kind": "classes", "shape": [1], "classes": ["a\nb"]}]},
        {"outputs": [{"name": "a", "kind": "values", "shape": [1], "classes": []}]},
        {"outputs": [{"name": "a", "kind": "image", "shape": [1, 2, 2], "classes": ["a"]}]},
    ],
)
def test_a_description_holds_plain_words_and_sizes(changes: dict[str, Any]) -> None:
    plain = DESCRIPTION.to_plain()
    assert Description.from_plain(plain) == DESCRIPTION
    with pytest.raises(ValueError):
        Description.from_plain(plain | changes)
