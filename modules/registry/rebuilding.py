"""A trained model trained once more: its code, data and environment brought back, and the weights compared.

Everything happens in a folder of its own: the code as it was, by the working tree where that still says the
same, else by the commit that the run was trained at; data and models that it began from as links. The plan
is the run's own, with the tracker left out.
"""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modules.cluster.code_package import SENT, collect
from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import plan_text
from modules.configuration.regular_file import read_regular_text
from modules.configuration.static_analysis.code_fingerprint import code_files
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import read_yaml, write_if_changed
from modules.registry.references import is_registered, plan_file, registry_settings, trained_file
from modules.registry.stored_weights import version_weights
from modules.registry.versions import PLAN, Registry
from modules.training.runs.environment import environment
from modules.weights.state_dict import read_state_dict

_LINKED = ("data", "build/train", "build/plan", "pretrained")
"""What a plan's paths lead to, below the storage; and the runs that are there."""
_MACHINE = ("python", "torch", "pytorch_lightning", "cpu", "num_threads", "gpu", "cuda")


@dataclass(frozen=True)
class Recorded:
    """A trained model as it was left.

    Attributes:
        name: of its recipe.
        identity: of its run; empty where nothing says it.
        plan: plain.
        facts: of machine and code at its training, as far as they are known.
        weights: by name.
    """

    name: str
    identity: str
    plan: dict[str, Any]
    facts: dict[str, str]
    weights: Mapping[str, Tensor]


@contextmanager
def recorded(reference: str, tracking: str) -> Iterator[Recorded]:
    """The trained model that a reference names.

    Args:
        reference: `lenet@champion`, `lenet@3`, or a folder of runs/ or build/train/.
        tracking: where the registry is: a file of conf/tracking or an MLflow URI.

    Raises:
        UserError: there is none.
    """
    if is_registered(reference):
        registry = Registry(registry_settings(tracking))
        version = registry.resolve(reference)
        facts = registry.run_tags(version.run_id)
        with registry.fetched(version) as folder:
            plan = read_yaml(folder / PLAN)
            yield Recorded(
                version.name, version.tags.get("identity", ""), plan, facts, version_weights(folder)
            )
        return
    weights = trained_file(reference, "model")
    plan = read_yaml(plan_file(weights))
    try:
        facts = dict(json.loads(read_regular_text(weights.parent / "summary.json", links=True)))
    except (OSError, ValueError, TypeError):
        facts = {}
    state = read_state_dict(weights, "Name a folder of runs/ or of build/train/")
    yield Recorded(str(plan.get("name", "")), str(facts.get("identity", "")), plan, facts, state)


def bring_code(recorded: Recorded, folder: Path, root: Path = ROOT) -> str:
    """Writes the code that trained a model, and says where it is from.

    Args:
        recorded: the model.
        folder: empty, or not there yet.
        root: of the repository.

    Raises:
        UserError: neither the working tree nor its commit holds it.
    """
    wanted = dict(recorded.plan["code"]["files"])
    differing = changed_files(wanted, root)
    if not differing:
        collect(root=root).write_folder(folder)
        return "the working tree's, which is what it was"
    commit = str(recorded.facts.get("git_commit", ""))
    if not commit:
        raise UserError(
            f"{_named(differing)} differ from the code that trained {recorded.name}, and no commit was"
            " recorded",
            "Bring the code back, then run the command again",
        )
    command = ["git", "-C", str(root), "archive", "--format=tar", commit, *SENT]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        said = (done.stderr.decode(errors="replace").splitlines() or ["git says nothing"])[-1]
        raise UserError(f"commit {commit[:10]} of {recorded.name} is not here: {said}", "git fetch it")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    if differing := changed_files(wanted, folder):
        raise UserError(
            f"{_named(differing)} differ in commit {commit[:10]} from what trained {recorded.name}:"
            " the code was changed and not committed",
            "It cannot be rebuilt",
        )
    return f"of commit {commit[:10]}"


def changed_files(wanted: Mapping[str, str], root: Path) -> list[str]:
    """Of files by their hashes (see `code_fingerprint`) those that differ below a folder, or are gone."""
    sources = {
        path.removesuffix(".py") for path in wanted if path.endswith(".py") and (root / path).is_file()
    }
    found = code_files([path.removesuffix("/__init__").replace("/", ".") for path in sorted(sources)], root)
    return sorted(path for path, digest in wanted.items() if found.get(path) != digest)


def machine_differences(recorded: Recorded) -> list[str]:
    """In what this machine is another than the one of the training, a line each."""
    here = environment()
    return [
        f"{name}: {recorded.facts[name]} then, {here[name]} now"
        for name in _MACHINE
        if name in recorded.facts and name in here and str(recorded.facts[name]) != here[name]
    ]


def train_again(recorded: Recorded, code: Path, out: Path, storage: Path) -> Path:
    """Trains by the code in a folder; returns the new weights' file.

    Args:
        recorded: the model.
        code: of `bring_code`.
        out: gets plan and results.
        storage: whose data and earlier models are read.

    Raises:
        UserError: the training failed.
    """
    others = [path for path in (storage / "runs").glob("*") if path.name != recorded.identity[:16]]
    for target in [*(storage / name for name in _LINKED), *others]:
        link = code / target.relative_to(storage)
        if target.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.absolute())
    plan = recorded.plan | {"tracking": recorded.plan["tracking"] | {"uri": None}}
    plan["runtime"] = plan["runtime"] | {"storage": "."}
    path = out / PLAN
    write_if_changed(path, plan_text(plan))
    command = [sys.executable, "-m", "pipelines.train", f"plan={path.absolute()}", f"out={out.absolute()}"]
    if subprocess.run(command, cwd=code).returncode:
        raise UserError(f"training {recorded.name} again failed: see above", f"The code is in {code}")
    return out / recorded.name / "weights.pt"


def weight_differences(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    """In what two sets of weights differ, a line each; nothing where every bit is the same."""
    found = [f"{name} is there once only" for name in sorted(before.keys() ^ now.keys())]
    for name in sorted(before.keys() & now.keys()):
        one, other = before[name], now[name]
        if one.shape != other.shape or one.dtype != other.dtype:
            found.append(
                f"{name} is {list(one.shape)} {one.dtype} then, {list(other.shape)} {other.dtype} now"
            )
        elif not torch.equal(one, other):
            apart = float((one.double() - other.double()).abs().max())
            largest = float(one.double().abs().max())
            found.append(f"{name} differs by at most {apart:.3g}, where its largest is {largest:.3g}")
    return found


def _named(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
