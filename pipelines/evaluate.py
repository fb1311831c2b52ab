"""Measures trained weights on the test split: by the evaluators that the recipe lists.

python -m pipelines.evaluate plan=build/plan/lenet.yaml
python -m pipelines.evaluate run=runs/0123456789abcdef
python -m pipelines.evaluate run=runs/0123456789abcdef dataset=brain_ch2
python -m pipelines.evaluate run=runs/0123456789abcdef language_model=build/train/char_lstm
python -m pipelines.evaluate run=runs/0123456789abcdef weights=last

Needs the plan, build/train/<recipe>/ and the test split, for what learns without labels the train split too;
writes build/evaluate/<recipe>/ in one step and adds the figures and images to the run in MLflow. Any other
run is evaluated where it lies, in runs/<identity>/evaluate/. On the test split of another dataset, which
has the same fields, what is found lies beside it, in evaluate_<dataset>/. A training that kept its best epoch
(`trainer.keep.best`) is measured by that; what is found of its last one lies in evaluate_last/.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from modules.configuration.command import arguments, run
from modules.configuration.plans.run_plan import Plan

NUM_EXAMPLES = 64
_ASK = ("modules.evaluation.transcription_evaluator.TranscriptionEvaluator",)
"""Evaluators with `language_model`."""


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        plan: the recipe's plan, build/plan/<recipe>.yaml.
        run: instead of it, the folder of a finished run.
        dataset: another than the recipe's to measure on, a file of conf/data/ with the same fields.
        weights: best or last, of a training that kept both; by default the best where it was kept.
        language_model: with run=, one that beam search asks beside it, whatever the recipe says: a registered
            model, a folder of runs/ or build/train/.
        language_model_weight: of its log-probabilities; by default what the recipe says.
        label_bonus: added for each label beside a language model; by default what the recipe says.
        build: folder of what the verbs write.
        data: folder of the datasets' shards; by default data/shards in the plan's runtime.storage.
    """

    plan: Path | None = None
    run: Path | None = None
    dataset: str | None = None
    weights: Literal["best", "last"] | None = None
    language_model: str | None = None
    language_model_weight: float | None = None
    label_bonus: float | None = None
    build: str = "build"
    data: str | None = None


def main(argv: list[str]) -> None:
    """Evaluates one recipe."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.configuration.errors import UserError
    from modules.configuration.plans.plan_files import read_plan
    from modules.configuration.refused_access import write_refusal
    from modules.configuration.regular_file import read_regular_text
    from modules.tracking.tracker import Tracker
    from modules.training.runs.run_folder import WEIGHTS_LAST, chosen_weights

    if (chosen.plan is None) == (chosen.run is None):
        raise UserError("one of plan=... and run=... is needed, and not both", "See --help")
    plan = _asking(read_plan(chosen.plan or Path(f"{chosen.run}/plan.yaml")), chosen)
    trained = chosen.run or Path(chosen.build) / "train" / plan.name
    weights = chosen_weights(trained, plan, chosen.weights)
    beside = [
        *(["last"] if weights.name == WEIGHTS_LAST else []),
        *([chosen.dataset] if chosen.dataset else []),
    ]
    kind = "_".join(["evaluate", *beside])
    out = Path(chosen.build) / kind / plan.name if chosen.run is None else chosen.run / kind
    if chosen.dataset is not None:
        plan = _on_dataset(plan, chosen.dataset)
    try:
        summary = json.loads(read_regular_text(trained / "summary.json", links=True))
        tracking = Path(summary["run_folder"]) / "tracking"
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"Train it first: python -m pipelines.train plan={chosen.plan or trained / 'plan.yaml'}"
        raise UserError(f"{trained} holds no finished training", hint) from error
    data = Path(chosen.data or plan.storage / "data" / "shards")
    if refusal := write_refusal(out.parent):
        metrics = _kept(plan, summary, weights, data, out)
        if metrics is None:
            raise refusal
        print(f"{out} can't be written: what was measured there before is shown")
        _show(plan, metrics, chosen.dataset)
        return
    # Opened before torch is imported: the process that talks to MLflow starts up meanwhile.
    tracker = Tracker.reopen(tracking) if (tracking / "run.json").is_file() else None
    try:
        metrics = _evaluate(plan, summary, weights, data, out, tracker, chosen.dataset)
    finally:
        if tracker is not None:
            tracker.finish()
    _show(plan, metrics, chosen.dataset)


def _asking(plan: Plan, chosen: Arguments) -> Plan:
    """The plan whose evaluation asks the language model that was named, and as was said.

    Raises:
        UserError: no evaluator of it asks one, or build/evaluate/ would hold what no recipe says.
    """
    from modules.configuration.errors import UserError

    keys = ("language_model", "language_model_weight", "label_bonus")
    given = {key: value for key in keys if (value := getattr(chosen, key)) is not None}
    if not given:
        return plan
    if chosen.run is None:
        raise UserError(
            f"{next(iter(given))} goes with run=", "Name the run, or write it into the recipe's evaluation"
        )
    asking = [node for node in plan.evaluation if node["_target_"] in _ASK]
    if not asking:
        raise UserError(f"no evaluator of {plan.name} asks a language model", "Name a run of a transcription")
    return plan.changed(
        evaluation=[{**node, **given} if node in asking else node for node in plan.evaluation]
    )


def _on_dataset(plan: Plan, name: str) -> Plan:
    """The plan with another dataset, of which its weights learned nothing.

    Raises:
        UserError: there is none of that name, or its fields are not those of the plan's.
    """
    from modules.configuration.composition.conf_contents import dataset
    from modules.configuration.errors import UserError

    other = plan.changed(data=dataset(name))
    known, found = plan.data.fields, other.data.fields
    same = f"Evaluate on a dataset with the fields of {plan.dataset}"
    if known.keys() != found.keys():
        raise UserError(
            f"{name} has the fields {', '.join(found)}, and {plan.dataset} has {', '.join(known)}", same
        )
    for field, one in known.items():
        # How a record holds it, and the unit of its numbers, are no matter to a net.
        ours, theirs = asdict(one), asdict(replace(found[field], encoding=one.encoding, units=one.units))
        for key in ours:
            if ours[key] != theirs[key]:
                raise UserError(
                    f"fields.{field}.{key} is {theirs[key]} in {name}, {ours[key]} in {plan.dataset}", same
                )
    return other


def _show(plan: Plan, metrics: dict[str, float], dataset: str | None) -> None:
    metric, num_samples = plan.expected.metric, int(metrics["num_samples"])
    of = f" of {dataset}" if dataset else ""
    print(f"{plan.name}: {metric} {metrics[metric]:.4f} on {num_samples:,} test samples{of}")


def _kept(plan: Plan, summary: dict[str, Any], file: Path, data: Path, out: Path) -> dict[str, float] | None:
    """What an earlier evaluation of the same weights on the same data measured; None where there is none."""
    from modules.configuration.errors import UserError
    from modules.configuration.plans.identity import shard_hashes
    from modules.registry.outcome import file_hash, read_outcome, split_hashes

    try:
        outcome = read_outcome(out)
    except UserError:
        return None
    known = outcome.provenance
    weights, shards = file_hash(file), split_hashes(shard_hashes(data / plan.dataset))
    same = (known.identity, known.weights, known.data) == (summary["identity"], weights, shards)
    measured = {"num_samples", plan.expected.metric} <= outcome.metrics.keys()
    return outcome.metrics if same and measured else None


def _evaluate(
    plan: Plan,
    summary: dict[str, Any],
    weights: Path,
    data: Path,
    out: Path,
    tracker: Any,
    dataset: str | None,
) -> dict[str, float]:
    import numpy
    import torch

    from modules.configuration.plans.identity import shard_hashes
    from modules.datamodules.shard_set import ShardSet
    from modules.evaluation.evaluator import evaluate, expected_score
    from modules.registry.outcome import Provenance, file_hash, split_hashes, write_outcome
    from modules.registry.stored_weights import load_weights
    from modules.registry.trained_models import find_trained_model
    from modules.registry.vocabulary_check import AGAIN, check_vocabularies
    from modules.sources.replacement import replaced_folder
    from modules.tasks.build_task import build_task
    from modules.training.runs.run_folder import WEIGHTS_LAST

    settings = plan.data
    task = build_task(plan.model, plan.task)
    load_weights(task.model, weights)
    shards = ShardSet.open(data / settings.name, settings)
    known = {field: one.sha256() for field, one in shards.vocabularies.items()}
    hint = AGAIN if dataset is None else "Evaluate on a dataset with the same texts to train on"
    check_vocabularies(summary.get("vocabularies", {}), known, str(weights), hint)
    findings = evaluate(task, shards, plan, partial(find_trained_model, plan, data))
    expected_score(findings.metrics, plan)
    served, examples = task.served(settings, shards.vocabularies), {}
    if served is not None and not served.exported:
        served = None
    if served is not None:
        split = shards.split("test")
        first = split.read(numpy.arange(min(NUM_EXAMPLES, split.num_samples)))
        arguments = task.served_inputs({name: torch.from_numpy(array) for name, array in first.items()})
        examples = dict(zip(served.arguments, (one.numpy() for one in arguments), strict=True))
    provenance = Provenance(
        recipe=plan.name,
        identity=summary["identity"],
        weights=file_hash(weights),
        data=split_hashes(shard_hashes(data / settings.name)),
        inputs=[asdict(one) for one in served.inputs] if served else [],
        outputs=[asdict(one) for one in served.outputs] if served else [],
    )
    with replaced_folder(out) as folder:
        kept = write_outcome(folder, findings, provenance, examples)
        if tracker is not None:
            last = "_last" if weights.name == WEIGHTS_LAST else ""
            suffix = f"{last}_{dataset}" if dataset else last
            tracker.metrics(
                {f"test{suffix}/{name}": value for name, value in findings.metrics.items()}, summary["steps"]
            )
            for file in kept:
                tracker.artifact(file, f"evaluate{suffix}")
    return findings.metrics


if __name__ == "__main__":
    run(main)
