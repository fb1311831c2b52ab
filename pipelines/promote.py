"""Registers an evaluated recipe as an exported program; makes it champion if it passes the gates.

python -m pipelines.promote plan=build/plan/lenet.yaml
python -m pipelines.promote look=build/look/registry.yaml

The gates: it beats today's champion on the same test split, its served answer equals the model's own, and its
inputs and outputs are the champion's. A recipe that was registered already stays as it is; an interrupted
promotion goes on where it was.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from modules.configuration.command import arguments, run
from modules.configuration.plans.run_plan import Plan


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        plan: the recipe's plan, build/plan/<recipe>.yaml.
        weights: best or last, of a training that kept both, evaluated with the same weights=; by default the
            best where it was kept.
        look: add here the versions that were promoted and that their registry has lost, and promote nothing.
        build: folder of what the verbs write.
        data: folder of the datasets' shards; by default data/shards in the plan's runtime.storage.
    """

    plan: str | None = None
    weights: Literal["best", "last"] | None = None
    look: str | None = None
    build: str = "build"
    data: str | None = None


def main(argv: list[str]) -> None:
    """Promotes one recipe."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.configuration.errors import UserError

    if (chosen.plan is None) == (chosen.look is None):
        raise UserError("one of plan=... and look=... is needed, and not both", "See --help")
    if chosen.look is not None:
        _look(Path(chosen.build), Path(chosen.look))
    else:
        _promote_plan(chosen, Path(chosen.plan or ""))


def _look(build: Path, out: Path) -> None:
    """Adds to a file what has been lost since: it only grows, so that nothing is promoted twice for it."""
    from modules.configuration.yaml_files import read_yaml, to_yaml, write_if_changed
    from modules.tracking.sending_again import has_version
    from modules.tracking.store import absolute_settings

    lost: dict[str, list[str]] = read_yaml(out) if out.is_file() else {}
    silent: set[str | None] = {None}
    for path in sorted((build / "promote").glob("*.json")):
        plan = build / "plan" / f"{path.stem}.yaml"
        if not plan.is_file():
            continue
        promoted = json.loads(path.read_text(encoding="utf-8"))
        settings = absolute_settings(read_yaml(plan)["tracking"])
        run_id, version = promoted["run_id"], (promoted["model"], promoted["version"])
        if settings["uri"] in silent:
            continue
        known = has_version(settings, *version, run_id)
        if known is None:
            silent.add(settings["uri"])  # nor need it be asked for the others
        if known is False and run_id not in lost.get(path.stem, []):
            lost.setdefault(path.stem, []).append(run_id)
            print(f"{path.stem}: the registry has lost version {promoted['version']}")
    write_if_changed(out, to_yaml(lost))


def _promote_plan(chosen: Arguments, path: Path) -> None:
    from modules.configuration.errors import UserError
    from modules.configuration.plans.plan_files import read_plan
    from modules.configuration.yaml_files import write_if_changed
    from modules.registry.outcome import file_hash, read_outcome
    from modules.registry.promotion import decided
    from modules.registry.versions import Registry
    from modules.tracking.store import is_there
    from modules.training.runs.run_folder import WEIGHTS_LAST, chosen_weights

    plan = read_plan(path)
    build, name = Path(chosen.build), plan.name
    weights = chosen_weights(build / "train" / name, plan, chosen.weights)
    measured = build / ("evaluate_last" if weights.name == WEIGHTS_LAST else "evaluate") / name
    which = f" weights={chosen.weights}" if chosen.weights else ""
    again = f"python -m pipelines.evaluate plan={chosen.plan}{which}"
    if chosen.weights and not measured.is_dir():
        raise UserError(f"{weights} was not evaluated: there is no {measured}", f"Do so: {again}")
    outcome = read_outcome(measured)
    if outcome.provenance.recipe != name or outcome.provenance.weights != file_hash(weights):
        raise UserError(f"{measured} is of other weights than {weights}", f"Evaluate again: {again}")
    data = Path(chosen.data or plan.storage / "data" / "shards")

    def send() -> None:
        _send(plan, outcome.provenance.identity, data / plan.dataset, build, measured)

    if not is_there(plan.configuration["tracking"]):
        send()
    registry = Registry(plan.configuration["tracking"])
    promotion = decided(registry, name, outcome.provenance.identity)
    if promotion is not None and chosen.weights is not None:
        _check_weights(promotion.version, outcome.provenance.weights)
    if promotion is None:
        promotion = _promote(registry, plan, weights, outcome, data, send)
    result = {
        "recipe": name,
        "model": promotion.version.name,
        "version": promotion.version.number,
        "champion": promotion.champion,
        "previous": promotion.previous,
        "gates": [asdict(gate) for gate in promotion.gates],
        "run_id": promotion.version.run_id,
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    write_if_changed(build / "promote" / f"{name}.json", text)
    _show(promotion)


def _check_weights(version: Any, weights: str) -> None:
    """Refuses a run's other weights: of one run there is one version."""
    from modules.configuration.errors import UserError

    if version.tags.get("weights", weights) != weights:
        raise UserError(
            f"{version.name} version {version.number} is this run already, with its other weights",
            f"Delete version {version.number} in MLflow first, or train a run of its own",
        )


def _send(plan: Plan, identity: str, shards: Path, build: Path, evaluation: Path) -> None:
    """Sends a run that its tracker lacks: the tracker was lost, or `dvc pull` brought the results alone."""
    from modules.tracking.sending_again import bring_to
    from modules.tracking.tracking_folder import read_run
    from modules.training.runs.run_folder import RunFolder

    folder = RunFolder(plan.storage / "runs" / identity[:16])
    if read_run(folder.tracking) is None:
        from modules.training.runs.recorded_results import record_results

        record_results(plan, identity, folder, shards, build / "train" / plan.name, evaluation)
    bring_to(folder.tracking, plan.configuration["tracking"], plan.name)


def _promote(
    registry: Any, plan: Plan, weights: Path, outcome: Any, data: Path, send: Callable[[], None]
) -> Any:
    from modules.configuration.errors import UserError
    from modules.datamodules.shard_set import ShardSet
    from modules.registry.promotion import promote
    from modules.registry.stored_weights import load_weights
    from modules.tasks.build_task import build_task

    run_id = registry.find_run(outcome.provenance.identity)
    if run_id is None:
        send()
        run_id = registry.find_run(outcome.provenance.identity)
    if run_id is None:
        raise UserError(
            f"the tracker {registry.uri} does not know the run of {plan.name}",
            "Send what waits on disk: python -m pipelines.track drain. Then promote again.",
        )
    task = build_task(plan.model, plan.task)
    load_weights(task.model, weights)
    served = task.served(plan.data, ShardSet.open(data / plan.dataset, plan.data).vocabularies)
    if served is None or not outcome.provenance.inputs:
        raise _nothing_served(plan)
    return promote(registry, plan, task, served, outcome, run_id, lambda version: _score(plan, version, data))


def _nothing_served(plan: Plan) -> Exception:
    from modules.configuration.errors import UserError

    task = plan.task["_target_"].rpartition(".")[2]
    return UserError(
        f"{plan.name} serves nothing: the task {task} exports no model", "There is nothing to promote."
    )


def _score(plan: Plan, version: Path, data: Path) -> float:
    """The expected metric of a registered version on the whole test split: an earlier champion, new data."""
    from modules.configuration.plans.old_plans import read_trained
    from modules.datamodules.shard_set import ShardSet
    from modules.evaluation.evaluator import evaluate, expected_score
    from modules.registry.stored_weights import load_version
    from modules.registry.trained_models import find_trained_model
    from modules.registry.versions import PLAN
    from modules.tasks.build_task import build_task

    settings = plan.data
    trained = read_trained(version / PLAN)
    task = build_task(trained["model"], trained["task"])
    load_version(task.model, version)
    shards = ShardSet.open(data / settings.name, settings)
    found = evaluate(task, shards, plan, partial(find_trained_model, plan, data))
    return expected_score(found.metrics, plan)


def _show(promotion: Any) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    version = promotion.version
    console = Console()
    if promotion.new:
        console.print(f"{version.name} version {version.number}: registered", highlight=False)
    else:
        console.print(
            f"{version.name} version {version.number}: this identity was registered before, nothing to do",
            highlight=False,
        )
    table = Table(box=None, show_header=False, padding=(0, 1))
    for gate in promotion.gates:
        verdict = Text("pass", "green") if gate.passed else Text("fail", "red")
        table.add_row(verdict, gate.gate + ("" if gate.binding else " (for information)"), Text(gate.detail))
    console.print(table)
    failed = [gate.gate for gate in promotion.gates if gate.binding and not gate.passed]
    if promotion.champion:
        console.print(f"champion: {version.name} version {version.number}", highlight=False)
    elif failed:
        console.print(f"the champion stays: {' and '.join(failed)} failed", highlight=False)
    else:
        console.print("another version has become champion since", highlight=False)


if __name__ == "__main__":
    run(main)
