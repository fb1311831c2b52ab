"""Predictions by registered versions and by files, and the same from MLflow's own server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.targets import build
from modules.registry.versions import PROGRAM, Registry
from pipelines import predict, promote
from tests.commands import environment
from tests.pipelines.yard import CLASSES, RECIPE, Yard

# MLflow 3.17 warns of its own type hints when its scoring part is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")


@pytest.fixture(scope="module")
def promoted_yard(evaluated_yard: Yard, tmp_path_factory: pytest.TempPathFactory) -> Yard:
    folder = tmp_path_factory.mktemp("promoted")
    before = Path.cwd()
    os.chdir(folder)
    try:
        yard = evaluated_yard.copy(folder / "yard")
        os.chdir(yard.folder)
        promote.main([f"plan=build/plan/{RECIPE}.yaml"])
    finally:
        os.chdir(before)
    return yard


@pytest.fixture
def yard(promoted_yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.chdir(promoted_yard.folder)
    return promoted_yard


@pytest.fixture
def tracking(yard: Yard) -> str:
    return f"tracking={yard.plan['tracking']['uri']}"


@pytest.fixture
def images(yard: Yard) -> list[Path]:
    folder = yard.folder / "data" / "raw" / f"{RECIPE}0"
    return [folder / name / "003.png" for name in CLASSES]


def eager(yard: Yard, image: Path) -> list[float]:
    """The probabilities of the weights themselves, without any part of the registry."""
    model = build(yard.plan["model"])
    model.load_state_dict(torch.load(yard.weights, weights_only=True))
    pixels = torch.from_numpy(numpy.array(Image.open(image))).float()[None, None] / 255
    with torch.inference_mode():
        return model.eval()(pixels).softmax(dim=1)[0].tolist()


@pytest.fixture
def run_folder(yard: Yard, tmp_path: Path) -> Path:
    """What a finished training leaves in runs/."""
    for file in (yard.weights, yard.weights.with_name("summary.json")):
        shutil.copy(file, tmp_path)
    shutil.copy(yard.plan_file, tmp_path / "plan.yaml")
    return tmp_path


def predicted(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    predict.main([*arguments, "output=json"])
    return json.loads(capsys.readouterr().out)


def by_class(result: dict[str, Any]) -> list[float]:
    found = {entry["class"]: entry["probability"] for entry in result["classes"]}
    return [found[name] for name in CLASSES]


def test_a_run_answers_as_its_weights_do(
    run_folder: Path, yard: Yard, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = predicted(capsys, f"model={run_folder}", f"input={images[0]}")
    assert by_class(result) == pytest.approx(eager(yard, images[0]), abs=1e-6)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("summary.json", "holds no finished run"),
        ("plan.yaml", r"plan\.yaml"),
        ("weights.pt", r"weights\.pt"),
    ],
)
def test_a_run_that_is_not_whole(broken: str, said: str, run_folder: Path, images: list[Path]) -> None:
    for spoil in (lambda file: file.write_bytes(b"\0{"), Path.unlink):
        spoil(run_folder / broken)
        with pytest.raises(UserError, match=said):
            predict.main([f"model={run_folder}", f"input={images[0]}"])


@pytest.mark.parametrize("reference", [f"{RECIPE}@champion", f"{RECIPE}@1", RECIPE])
def test_a_registered_version_answers_as_the_weights(
    yard: Yard, tracking: str, images: list[Path], capsys: pytest.CaptureFixture[str], reference: str
) -> None:
    for image in images:
        (result,) = predicted(capsys, f"model={reference}", f"input={image}", tracking)
        assert by_class(result) == pytest.approx(eager(yard, image), abs=1e-5)
        probabilities = [entry["probability"] for entry in result["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)


def test_a_file_answers_as_the_version_and_a_folder_as_its_images(
    yard: Yard, tracking: str, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(yard.plan["tracking"])
    with registry.fetched(registry.resolve(RECIPE)) as folder:
        shutil.copyfile(folder / PROGRAM, tmp_path / "net.pt2")
    folder = images[0].parent
    results = predicted(capsys, f"model={tmp_path / 'net.pt2'}", f"input={folder}", "top=3")
    assert [Path(result["input"]).name for result in results] == [f"{number:03d}.png" for number in range(60)]
    (alone,) = predicted(capsys, f"model={RECIPE}", f"input={images[0]}", tracking)
    assert results[3]["input"] == alone["input"]
    assert by_class(results[3]) == pytest.approx(by_class(alone), abs=1e-6)
    (best,) = predicted(capsys, f"model={tmp_path / 'net.pt2'}", f"input={images[0]}", "top=1")
    assert best["classes"] == alone["classes"][:1]


def test_people_get_a_table(tracking: str, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    predict.main([f"model={RECIPE}@champion", f"input={images[0]}", tracking])
    printed = capsys.readouterr().out
    assert all(name in printed for name in CLASSES) and "%" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=strips@champion"], "the registry has no model 'strips'. Did you mean stripes?"),
        (["model=stripes@champoin"], "has no version or alias 'champoin'. Did you mean champion?"),
        (["model=stripes@7"], "has no version or alias '7'"),
        (["model=stripes@' or 1=1"], "has no version or alias"),
        (["model=st'ripes"], "is no name for a model"),
        (["model=..\n@x"], "is no name for a model"),
        (["model=nowhere.pt2"], "nowhere.pt2 cannot be read"),
        (["model=stripes", "input=nowhere.png"], "nowhere.png does not exist"),
        (["model=stripes", "input=build"], "holds no image"),
        (["model=stripes", "input=mlflow.db"], "is no image that can be read"),
        (["model=stripes", "top=0"], "top=0"),
        (["model=stripes", "output=xml"], "output=xml"),
        (["modle=stripes"], "Did you mean model?"),
    ],
)
def test_a_mistake_is_one_line_with_what_was_meant(
    tracking: str, images: list[Path], arguments: list[str], message: str
) -> None:
    given = [tracking, *arguments]
    if not any(argument.startswith("input=") for argument in arguments):
        given.append(f"input={images[0]}")
    with pytest.raises(UserError) as raised:
        predict.main(given)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_registry_that_is_not_there_is_not_made(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"mlflow\.db is not there"):
        predict.main([f"model={RECIPE}", f"input={images[0]}"])
    assert not list(tmp_path.iterdir())


def test_the_whole_command_ends_with_status_two_and_no_traceback(yard: Yard, tracking: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.predict", "model=strips", "input=build/plan", tracking],
        env=environment(),
        cwd=yard.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")


def serving(yard: Yard, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """`mlflow models serve` on loopback, in a folder and a process that know nothing of this repository."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-P", "-m", "mlflow", "models", "serve", "-m", f"models:/{RECIPE}@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    known = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    known |= {"MLFLOW_TRACKING_URI": yard.plan["tracking"]["uri"], "MLFLOW_DISABLE_TELEMETRY": "true"}
    known |= {"PATH": f"{Path(sys.executable).parent}:{known['PATH']}"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=known, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    return process, f"http://127.0.0.1:{port}"


def answer(address: str, inputs: list[Any]) -> list[list[float]]:
    request = urllib.request.Request(
        f"{address}/invocations",
        data=json.dumps({"inputs": inputs}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["predictions"]


def wait_for(check: Callable[[], bool], process: subprocess.Popen[bytes], limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("the server did not answer in time")


def test_mlflow_serves_the_same_answers(
    yard: Yard, tracking: str, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process, address = serving(yard, tmp_path)
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/ping", timeout=2).status == 200, process)
        inputs = []
        for image in images:
            predict.main([f"model={RECIPE}", f"input={image}", tracking, "output=request"])
            inputs += json.loads(capsys.readouterr().out)["inputs"]
        assert numpy.allclose(inputs, [numpy.array(Image.open(image))[None] / 255 for image in images])
        served = answer(address, inputs)
        for image, row in zip(images, served, strict=True):
            (result,) = predicted(capsys, f"model={RECIPE}@champion", f"input={image}", tracking)
            assert row == pytest.approx(by_class(result), abs=1e-5)
        assert answer(address, inputs[:1])[0] == pytest.approx(served[0], abs=1e-6)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            answer(address, [[[0.0]]])
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
