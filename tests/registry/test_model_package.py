"""Registered models as MLflow's scoring server asks them, against `predict`, and without this repository."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import soundfile
import torch
from PIL import Image

from modules.registry.export import Description, export_program
from modules.registry.model_package import SCRIPT, package, serve
from modules.registry.versions import PROGRAM
from pipelines import predict
from tests.plans import composed_plan
from tests.registry.made_models import examples, made

# MLflow 3.17 warns of its own type hints when its scoring part is imported.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]
NAMES = ("text_classes", "text_text", "sound_classes", "image_classes", "image_boxes", "both")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of an MLflow model for some of the made models."""
    plan, found = composed_plan("recipe=lenet"), {}
    for name in NAMES:
        served = made(name)
        given = examples(served)
        program = export_program(served, list(given.values()))
        found[name] = tmp_path_factory.mktemp(name) / "model"
        package(
            program,
            served.module.state_dict(),
            Description(name, "0" * 64, served.inputs, served.outputs),
            {key: value.numpy() for key, value in given.items()},
            plan,
            "run",
            "model",
            found[name],
        )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Inputs of every kind."""
    pixels = numpy.random.default_rng(0).integers(0, 256, (6, 8), dtype=numpy.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.flac", numpy.sin(numpy.arange(500) / 7) / 2, 8000)
    return tmp_path


def served_answer(package: Path, request: str) -> Any:
    """What MLflow's server makes of a request's body."""
    from mlflow import pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    model = pyfunc.load_model(str(package))
    response = invocations(request, "application/json", model, model.metadata.get_input_schema())
    assert response.status == 200, response.response
    return json.loads(response.response)["predictions"]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("text_classes", "what a day"),
        ("text_text", "a good day"),
        ("sound_classes", "a.flac"),
        ("image_boxes", "a.png"),
        ("both", "a.png,what a day"),
    ],
)
def test_the_server_says_what_predict_says(
    packages: dict[str, Path],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    name: str,
    given: str,
) -> None:
    monkeypatch.chdir(folder)
    arguments = [f"model={packages[name] / PROGRAM}", f"input={given}"]
    predict.main([*arguments, "output=request"])
    (served,) = served_answer(packages[name], capsys.readouterr().out)
    predict.main([*arguments, "output=json"])
    (said,) = json.loads(capsys.readouterr().out)
    del said["input"]
    assert served == said


def test_an_image_gets_a_row_of_numbers(packages: dict[str, Path], folder: Path, capsys: Any) -> None:
    arguments = [f"model={packages['image_classes'] / PROGRAM}", f"input={folder / 'a.png'}"]
    predict.main([*arguments, "output=request"])
    (row,) = served_answer(packages["image_classes"], capsys.readouterr().out)
    predict.main([*arguments, "output=json"])
    (said,) = json.loads(capsys.readouterr().out)
    assert sorted(row, reverse=True) == [one["probability"] for one in said["classes"]]


def test_texts_may_come_as_records_too(packages: dict[str, Path]) -> None:
    plain = served_answer(packages["text_classes"], json.dumps({"inputs": ["what a day", "bad"]}))
    records = {"dataframe_records": [{"text": "what a day"}, {"text": "bad"}]}
    assert served_answer(packages["text_classes"], json.dumps(records)) == plain and len(plain) == 2


def test_what_is_registered_gives_the_model_s_numbers_and_names_no_path(packages: dict[str, Path]) -> None:
    for name, package_folder in packages.items():
        served = made(name)
        arguments = list(examples(served).values())
        expected = served.module(*arguments)
        for answer, eager in zip(
            serve(package_folder, arguments),
            [expected] if isinstance(expected, torch.Tensor) else expected,
            strict=True,
        ):
            torch.testing.assert_close(answer, eager)
        told = (package_folder / "MLmodel").read_text() + (package_folder / "description.json").read_text()
        assert str(package_folder.parent) not in told and str(Path(__file__).parents[2]) not in told


ELSEWHERE = """
import importlib.util, json, sys
import pandas
from mlflow import pyfunc, pytorch
print(json.dumps({
    "said": pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({"text": ["what a day"]})),
    "known": [name for name in ("modules", "pipelines") if importlib.util.find_spec(name)],
    "torch": type(pytorch.load_model(sys.argv[1])).__name__,
}))
"""


def test_a_process_without_this_repository_loads_both_flavours(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(packages["text_classes"])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["known"] == [] and found["torch"] == "GraphModule"
    assert found["said"] == served_answer(packages["text_classes"], json.dumps({"inputs": ["what a day"]}))
    assert "import modules" not in (packages["text_classes"] / SCRIPT).read_text()
