"""A model trained once more: the same bits, other code by its commit, and what cannot be brought back."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import read_yaml
from modules.registry.rebuilding import Recorded, bring_code, changed_files, weight_differences
from tests.commands import run
from tests.training.small import write_small_shards

SMALL = ("recipe=neuron", "data.samples_per_record=50", "trainer.max_epochs=1", "runtime.num_threads=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder in a storage of its own."""
    storage = tmp_path_factory.mktemp("storage")
    write_small_shards(storage / "data" / "shards" / "fashion_mnist")
    status, out, err = run("pipelines.train", *SMALL, "tracking=none", folder=storage)
    assert status == 0, out + err
    (folder,) = (storage / "runs").iterdir()
    return folder


def reproduce(folder: Path, *arguments: str) -> tuple[int, str, str]:
    storage = folder.parent.parent
    return run("pipelines.reproduce", f"model=runs/{folder.name}", *arguments, folder=storage)


def test_the_same_bits_come_out(trained: Path) -> None:
    status, out, err = reproduce(trained)
    assert status == 0, out + err
    assert "reproduced: all 2 tensors are the same bit by bit" in out
    assert "code the working tree's" in out
    assert not (trained.parent.parent / "mlflow.db").exists()
    assert list(trained.parent.iterdir()) == [trained]  # it trained in a folder of its own


def test_other_weights_are_told_with_how_far_they_are_apart(trained: Path) -> None:
    weights = torch.load(trained / "weights.pt", weights_only=True)
    name = sorted(weights)[0]
    kept = (trained / "weights.pt").read_bytes()
    try:
        torch.save(weights | {name: weights[name] + 0.5}, trained / "weights.pt")
        status, out, _ = reproduce(trained)
    finally:
        (trained / "weights.pt").write_bytes(kept)
    assert status == 1
    assert f"{name} differs by at most 0.5, where its largest is " in out
    assert "not reproduced: 1 of 2 tensors differ" in out


def test_what_differs_of_the_machine_is_said(trained: Path) -> None:
    path = trained / "summary.json"
    kept = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(kept) | {"cpu": "an abacus"}))
        status, out, _ = reproduce(trained)
    finally:
        path.write_text(kept)
    assert status == 0 and "cpu: an abacus then, " in out


def test_code_that_has_changed_comes_from_its_commit(trained: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(repository)], check=True)
    plan = read_yaml(trained / "plan.yaml")
    changed = repository / "modules" / "tasks" / "classification.py"
    changed.write_text((ROOT / "modules" / "tasks" / "classification.py").read_text() + "\nCHANGED = 1\n")
    assert changed_files(plan["code"]["files"], repository)[:1] == ["modules/tasks/classification.py"]

    def model(**facts: str) -> Recorded:
        return Recorded("neuron", "", plan, facts, {})

    with pytest.raises(UserError, match=r"classification.py differ from the code .* no commit was recorded"):
        bring_code(model(), tmp_path / "a", repository)
    with pytest.raises(UserError, match=r"commit 0000000000 of neuron is not here"):
        bring_code(model(git_commit="0" * 40), tmp_path / "b", repository)
    subprocess.run([*git, "commit", "-qam", "changed"], check=True)
    now = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    with pytest.raises(
        UserError, match=r"classification.py differ in commit .* was changed and not committed"
    ):
        bring_code(model(git_commit=now.strip()), tmp_path / "c", repository)


def test_a_commit_is_brought_as_it_was(trained: Path, tmp_path: Path) -> None:
    """Of a repository whose first commit holds the code of today, and whose second another."""
    repository, plan = tmp_path / "repository", read_yaml(trained / "plan.yaml")
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for name in ("conf", "hydra_plugins", "modules", "pipelines", "cluster"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(repository / name)], check=True)
    (repository / "constraints.txt").write_text((ROOT / "constraints.txt").read_text())
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    first = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    changed = repository / "modules" / "tasks" / "classification.py"
    changed.write_text(changed.read_text() + "\nCHANGED = 1\n")
    said = bring_code(
        Recorded("neuron", "", plan, {"git_commit": first.strip()}, {}), tmp_path / "code", repository
    )
    assert said == f"of commit {first[:10]}"
    assert not changed_files(plan["code"]["files"], tmp_path / "code")


def test_differences_of_weights() -> None:
    one, other = {"a": torch.zeros(2), "b": torch.ones(3)}, {"a": torch.zeros(2), "c": torch.ones(3)}
    assert weight_differences(one, one) == []
    assert weight_differences(one, other) == ["b is there once only", "c is there once only"]
    (line,) = weight_differences({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
    assert line == "a is [2] torch.float32 then, [3] torch.float32 now"


@pytest.mark.parametrize(
    ("model", "said"),
    [("runs/nothing", "there is no file"), ("lenet@champion", "is not there, so nothing is registered")],
)
def test_a_mistake_is_one_line(tmp_path: Path, model: str, said: str) -> None:
    status, out, err = run("pipelines.reproduce", f"model={model}", folder=tmp_path)
    assert (status, out) == (2, "") and said in err and err.count("\n") == 1, err
