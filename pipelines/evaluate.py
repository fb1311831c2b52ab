"""Measures trained weights on the test split: figures, confusion matrix, worst mistakes, samples, filters.

python -m pipelines.evaluate plan=build/plan/lenet.yaml

Needs the plan, build/train/<recipe>/ and the test split alone; writes build/evaluate/<recipe>/ in one step
and adds the figures and pictures to the run in MLflow.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.configuration.command import arguments, run

BATCH_SIZE = 500
NUM_EXAMPLES = 64


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        plan: the recipe's plan, build/plan/<recipe>.yaml.
        build: folder of what the verbs write.
        data: folder of the datasets' shards; by default data/shards in the plan's runtime.storage.
    """

    plan: str
    build: str = "build"
    data: str | None = None


def main(argv: list[str]) -> None:
    """Evaluates one recipe."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.configuration.errors import UserError
    from modules.configuration.plans import read_plan
    from modules.tracking.tracker import Tracker

    plan = read_plan(Path(chosen.plan))
    trained = Path(chosen.build) / "train" / plan["name"]
    try:
        summary = json.loads((trained / "summary.json").read_text())
        tracking = Path(summary["run_folder"]) / "tracking"
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = f"Train it first: python -m pipelines.train plan={chosen.plan}"
        raise UserError(f"{trained} holds no finished training", mend) from error
    # Opened before torch is imported: the process that talks to MLflow starts up meanwhile.
    tracker = Tracker.reopen(tracking) if (tracking / "run.json").is_file() else None
    try:
        data = Path(chosen.data or Path(plan["runtime"]["storage"]) / "data" / "shards")
        evaluation = _evaluate(plan, summary, trained, data, Path(chosen.build) / "evaluate", tracker)
    finally:
        if tracker is not None:
            tracker.finish()
    print(f"{plan['name']}: accuracy {evaluation.accuracy:.4f} on {evaluation.num_samples} test samples")


def _evaluate(
    plan: dict[str, Any], summary: dict[str, Any], trained: Path, data: Path, out: Path, tracker: Any
) -> Any:
    import numpy
    import torch

    from modules.configuration.identity import shard_hashes
    from modules.configuration.settings import DataSettings, read
    from modules.configuration.targets import build
    from modules.datamodules.shard_loader import EvaluationLoader
    from modules.datamodules.shard_set import ShardSet
    from modules.registry.drawing import draw_confusion, draw_mistakes_and_samples
    from modules.registry.evaluation import evaluate, label_field, picture_field
    from modules.registry.outcome import Provenance, file_hash, split_hashes, write_outcome
    from modules.registry.weights import first_layer_filters, load_weights
    from modules.sources.replacement import replaced_folder

    settings = read(DataSettings, plan["data"], "data")
    label, shown = label_field(settings.fields), picture_field(settings.fields)
    classes = settings.fields[label].classes or []
    task = build(plan["task"], model=build(plan["model"])).eval()
    load_weights(task.model, trained / "weights.pt")
    split = ShardSet.open(data / settings.name, settings).split("test")

    def samples(positions: list[int]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array) for name, array in split.read(numpy.array(positions)).items()}

    evaluation = evaluate(task.probabilities, task.inputs, EvaluationLoader(split, BATCH_SIZE), label)
    examples = task.inputs(samples(list(range(min(NUM_EXAMPLES, split.num_samples)))))
    input_shape = tuple(examples.shape[1:])
    provenance = Provenance(
        recipe=plan["name"],
        identity=summary["identity"],
        weights=file_hash(trained / "weights.pt"),
        data=split_hashes(shard_hashes(data / settings.name)),
        input_shape=list(input_shape),
        classes=classes,
    )
    with replaced_folder(out / plan["name"]) as folder:
        write_outcome(folder, evaluation, provenance, examples, first_layer_filters(task.model, input_shape))
        draw_confusion(evaluation.confusion, classes, folder / "confusion.png")
        sheets = [folder / "confusion.png"]
        if shown is not None:
            sheets += draw_mistakes_and_samples(
                evaluation, classes, lambda rows: samples(rows)[shown], folder
            )
        if tracker is not None:
            figures = {"test/accuracy": evaluation.accuracy, "test/loss": evaluation.loss}
            tracker.metrics(figures, step=summary["steps"])
            for file in (folder / "metrics.json", folder / "confusion.json", *sheets):
                tracker.artifact(file, "evaluate")
    return evaluation


if __name__ == "__main__":
    run(main)
