"""How far each recipe's training has come, from what lies on disk: nothing is composed, hashed or asked.

It is an estimate for people: what has to run again is decided by DVC, which looks at all that a stage depends
on, and by the training's identity.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import WITHOUT_EFFECT
from modules.configuration.plans.plan_files import read_plan
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular_text
from modules.training.runs.run_folder import RunFolder

State = Literal["trained", "changed", "interrupted", "not trained"]
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def recipe_states(
    names: Iterable[str],
    build: Path = Path("build"),
    runs: Path = Path("runs"),
    lock: Path = Path("dvc.lock"),
) -> dict[str, State]:
    """The state of each recipe.

    Args:
        names: of the recipes.
        build: folder of what the verbs write.
        runs: folder of the runs.
        lock: where DVC keeps what was made from what.

    Returns:
        trained: its weights are there; changed: they are, and were trained by another plan than today's;
        interrupted: a run of today's plan was begun; or not trained.
    """
    plans = _plans_that_trained(lock)
    begun = list(_begun_runs(runs))
    return {name: _state(name, build, plans.get(name), begun) for name in names}


def is_published(name: str, build: Path = Path("build")) -> bool:
    """Whether trained weights of a recipe lie where other stages look for them."""
    return (build / "train" / name / "summary.json").is_file()


def _state(name: str, build: Path, trained_by: str | None, begun: list[tuple[str, RunFolder]]) -> State:
    plan = build / "plan" / f"{name}.yaml"
    if is_published(name, build):
        known = trained_by is not None and plan.is_file()
        return "changed" if known and _md5(plan) != trained_by else "trained"
    own = [folder for of, folder in begun if of == name or of.startswith(f"{name}.")]
    today = _plan(plan) if own else None
    if today is None:
        return "not trained"
    wanted = {one.name: _deciding(one) for one in today.all_runs}
    found = {folder: one for folder in own if (one := _plan(folder.plan)) is not None}
    same = [folder for folder, one in found.items() if wanted.get(one.name) == _deciding(one)]
    if any(found[folder].name == name and _is_finished(folder) for folder in same):
        return "trained"  # by another command: its stage copies what is there
    return "interrupted" if same else "not trained"


def _plan(path: Path) -> Plan | None:
    """A plan; None where it is none, or an earlier version's: the verb that trains says so."""
    try:
        return read_plan(path)
    except UserError:
        return None


def _deciding(plan: Plan) -> tuple[dict[str, Any], str]:
    """What of a plan decides the weights, but for the data and the weights that it begins from."""
    decides = {key: value for key, value in plan.configuration.items() if key not in WITHOUT_EFFECT}
    return decides, plan.code.fingerprint


def _begun_runs(runs: Path) -> Iterator[tuple[str, RunFolder]]:
    """Runs that have a checkpoint or are finished, with the names of their plans."""
    for path in sorted(runs.glob("*/plan.yaml")):
        folder = RunFolder(path.parent)
        if not folder.checkpoint.exists() and not _is_finished(folder):
            continue
        try:
            lines = read_regular_text(path).splitlines()
        except (OSError, ValueError, UserError):
            continue
        # The one line alone: a sweep leaves thousands of plans.
        name = next((line for line in lines if line.startswith("name: ")), "")
        yield name.removeprefix("name: ").strip("'\""), folder


def _is_finished(folder: RunFolder) -> bool:
    return (folder.read("outcome.json") or {}).get("status") == "FINISHED" and folder.weights.is_file()


def _plans_that_trained(lock: Path) -> dict[str, str]:
    """The md5 of the plan that DVC trained each recipe by."""
    try:
        stages = yaml.load(lock.read_text(encoding="utf-8"), Loader=_FAST)["stages"].items()
        return {
            stage.removeprefix("train@"): str(dep["md5"])
            for stage, entry in stages
            if stage.startswith("train@")
            for dep in entry["deps"]
            if dep["path"] == f"build/plan/{stage.removeprefix('train@')}.yaml"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}  # none yet, or none that DVC itself would take


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
