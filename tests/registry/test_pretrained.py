"""What a training begins from: found by name or path, pinned by content, refused in one line."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identity
from modules.configuration.plans.run_plan import Plan
from modules.configuration.yaml_files import read_yaml, to_yaml
from modules.datamodules.shard_set import ShardSet
from modules.registry import pretrained, references
from modules.registry.pretrained import check_pretrained, with_pretrained
from modules.registry.references import is_registered
from modules.registry.versions import Version
from modules.training.fit import initial_task
from tests.training.small import small_plan, write_small_shards


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, and two trained recipes in build/ with their plans."""
    storage = tmp_path_factory.mktemp("storage")
    write_small_shards(storage / "data" / "shards" / "fashion_mnist")
    for recipe, seed in (("neuron", 1), ("perceptron", 2)):
        plan = small_plan(recipe, f"seed={seed}")
        folder = storage / "build" / "train" / recipe
        folder.mkdir(parents=True)
        torch.save(initial_task(plan).model.state_dict(), folder / "weights.pt")
        (storage / "build" / "plan").mkdir(exist_ok=True)
        (storage / "build" / "plan" / f"{recipe}.yaml").write_text(json.dumps(plan.to_plain()))
    return storage


def shards(storage: Path) -> Path:
    return storage / "data" / "shards" / "fashion_mnist"


def planned(storage: Path, *overrides: str) -> Plan:
    return with_pretrained(small_plan("perceptron", *overrides), shards(storage))


def answers(storage: Path, *overrides: str) -> np.ndarray:
    file = planned(storage, *overrides).pretrained.teacher_answers
    assert file is not None
    return np.load(file)


def test_what_is_registered() -> None:
    assert is_registered("lenet@champion") and is_registered("lenet@3")
    assert not is_registered("build/train/lenet") and not is_registered("folder@2/weights.pt")


def test_a_plan_that_begins_from_nothing_is_left_alone(storage: Path) -> None:
    plan = small_plan("neuron")
    assert with_pretrained(plan, shards(storage)) is plan


def test_weights_are_known_by_their_content(storage: Path, tmp_path: Path) -> None:
    trained = storage / "build" / "train" / "perceptron"
    shutil.copytree(trained, tmp_path / "moved")

    def number(reference: Path | str) -> str:
        return identity(planned(storage, f"init_from={reference}"), shards(storage))

    assert number(trained) == number(tmp_path / "moved") == number(tmp_path / "moved" / "weights.pt")
    assert number(trained) != number(storage / "build" / "train" / "neuron")
    assert number(trained) != identity(small_plan("perceptron"), shards(storage))


def test_soft_targets_are_the_mean_of_the_teachers(storage: Path) -> None:
    build = storage / "build" / "train"
    one, other, both = (
        answers(storage, f"teacher=[{','.join(names)}]")
        for names in (
            [f"{build}/neuron"],
            [f"{build}/perceptron"],
            [f"{build}/neuron", f"{build}/perceptron"],
        )
    )
    assert np.allclose(np.exp(both), (np.exp(one) + np.exp(other)) / 2, atol=1e-6)
    assert np.allclose(np.exp(both).sum(axis=1), 1, atol=1e-5)
    split = ShardSet.open(shards(storage)).split("train")
    assert both.shape == (split.num_samples, 10) and both.dtype == np.float32
    # Row for row what the teacher itself says.
    task = initial_task(small_plan("neuron"))
    task.model.load_state_dict(torch.load(build / "neuron" / "weights.pt", weights_only=True))
    batch = {name: torch.from_numpy(rows) for name, rows in split.read(np.arange(5)).items()}
    said = task.model(task.inputs(batch)).log_softmax(dim=1)
    assert np.allclose(one[:5], said.detach().numpy(), atol=1e-5)


def test_they_are_computed_once(storage: Path) -> None:
    reference = f"teacher=[{storage}/build/train/neuron]"
    file = planned(storage, reference).pretrained.teacher_answers
    assert file is not None
    written = file.stat().st_mtime_ns
    assert planned(storage, reference, "optimizer.lr=0.1").pretrained.teacher_answers == file
    assert file.stat().st_mtime_ns == written
    assert not list(file.parent.glob(".*"))


def test_the_same_weights_by_another_plan_are_another_teacher(storage: Path, tmp_path: Path) -> None:
    build = storage / "build"
    of_teacher = read_yaml(build / "plan" / "neuron.yaml")
    files = []
    for name, smoothing in (("same", 0.0), ("other", 0.1)):
        shutil.copytree(build / "train" / "neuron", tmp_path / name)
        changed = of_teacher | {"task": of_teacher["task"] | {"label_smoothing": smoothing}}
        (tmp_path / name / "plan.yaml").write_text(to_yaml(changed))
        files.append(planned(storage, f"teacher=[{tmp_path}/{name}]").pretrained.teacher_answers)
    same, other = files
    assert same == planned(storage, f"teacher=[{build}/train/neuron]").pretrained.teacher_answers != other


def test_a_teacher_of_other_classes_is_refused(storage: Path) -> None:
    plan = compose(["recipe=perceptron", "data=mnist_digits", f"teacher=[{storage}/build/train/neuron]"])
    with pytest.raises(
        UserError, match=r"knows 10 classes \(T-shirt/top, .*\), and the student learns 10 \(0, 1"
    ):
        check_pretrained(plan)


@pytest.mark.parametrize(
    "reference, said",
    [
        (
            "init_from=build/train/nobody",
            r"no file build/train/nobody/weights.pt. Train it first: dvc repro train@",
        ),
        ("init_from=data/raw/theirs/net/w.pkl", "Fetch it first: python -m pipelines.fetch source=theirs"),
        ("teacher=[nowhere.pt]", "teacher=nowhere.pt: there is no file"),
        ("init_from=lenet@champion", "tracking is off, so there is no registry"),
    ],
)
def test_what_is_not_there(reference: str, said: str, storage: Path) -> None:
    with pytest.raises(UserError, match=said):
        planned(storage, reference)


def test_how_weights_fit_is_said_beforehand(storage: Path) -> None:
    trained = f"init_from={storage}/build/train/perceptron"
    assert "6 of 6 tensors kept" in check_pretrained(
        compose(["recipe=perceptron", "data=mnist_digits", trained])
    )
    with pytest.raises(UserError, match=r"nothing in .* fits LeNet: hidden.0.linear.weight is .* there and"):
        check_pretrained(
            compose(["recipe=lenet", "data=mnist_digits", trained, "fine_tuning.reinit=[output.]"])
        )
    assert check_pretrained(compose(["recipe=lenet"])) == ""


def test_a_teacher_that_names_no_classes_is_refused(storage: Path) -> None:
    """The data that it learned from have the student's classes, and it answers with something else."""
    plan = small_plan("rbm", "model.hidden_size=10")
    folder = storage / "build" / "train" / "rbm"
    folder.mkdir()
    torch.save(initial_task(plan).model.state_dict(), folder / "weights.pt")
    (storage / "build" / "plan" / "rbm.yaml").write_text(json.dumps(plan.to_plain()))
    with pytest.raises(UserError, match=r"teacher=.*/rbm does not answer with classes"):
        planned(storage, f"teacher=[{folder}]")


def test_two_that_fetch_the_same_version_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version, weights = SimpleNamespace(name="lenet", tags={"files": "{}"}), {"bias": torch.ones(3)}
    registry = SimpleNamespace(fetched=lambda version: nullcontext(tmp_path))
    monkeypatch.setattr(pretrained, "registered_version", lambda reference, plan: (registry, version))
    monkeypatch.setattr(pretrained, "version_weights", lambda folder: weights)
    save, fetched = torch.save, []

    def save_meanwhile(content: Any, file: Any) -> None:
        if not fetched:  # the other comes while the first one writes
            fetched.append(None)
            fetched.append(pretrained._weights("lenet@3", {}, tmp_path / "kept"))
        save(content, file)

    monkeypatch.setattr(torch, "save", save_meanwhile)
    file = pretrained._weights("lenet@3", {}, tmp_path / "kept")
    assert fetched == [None, file] and [*file.parent.iterdir()] == [file]
    assert torch.equal(torch.load(file, weights_only=True)["bias"], weights["bias"])


def test_a_version_that_others_registered_is_refused(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = SimpleNamespace(resolve=lambda reference: Version("theirs", 3, "run", {"note": "by hand"}))
    monkeypatch.setattr(references, "Registry", lambda tracking: registry)
    for begins in ("init_from=theirs@3", "teacher=[theirs@3]"):
        with pytest.raises(UserError, match="theirs version 3 was registered by other means than promote"):
            planned(storage, begins)
