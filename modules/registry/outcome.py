"""What an evaluation leaves in build/evaluate/<recipe>/, written at once and read back for promotion.

metrics.json     {"accuracy", "loss", "num_samples", "per_class": {class: accuracy}}
confusion.json   {"classes", "matrix"}, rows are the truth
provenance.json  what it is of, see `Provenance`
examples.npy     inputs of the first samples, as the model takes them
filters.npy      the first layer's [filters, channels, height, width], where it has any
mistakes/, samples/      a PNG each, and mistakes.json, samples.json: [{"file", "index", "truth",
                 "prediction", "probability", "truth_probability"}]; absent where samples are no pictures
confusion.png, mistakes.png, samples.png     the same at a glance
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from modules.configuration.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from modules.registry.evaluation import Evaluation


@dataclass(frozen=True)
class Provenance:
    """What an evaluation is of.

    Attributes:
        recipe: its name.
        identity: of the run that trained the weights.
        weights: sha256 of the file of weights.
        data: hash of each split's shards.
        input_shape: shape of one sample as the model takes it.
        classes: the class behind each output.
    """

    recipe: str
    identity: str
    weights: str
    data: dict[str, str]
    input_shape: list[int]
    classes: list[str]


@dataclass(frozen=True)
class Outcome:
    """An evaluation as it was written down.

    Attributes:
        provenance: what it is of.
        metrics: figures by name.
        examples: inputs of the first samples, as the model takes them.
    """

    provenance: Provenance
    metrics: dict[str, float]
    examples: numpy.ndarray


def split_hashes(shards: dict[str, list[str]]) -> dict[str, str]:
    """One hash for each split from those of its shards."""
    return {split: hashlib.sha256("\n".join(hashes).encode()).hexdigest() for split, hashes in shards.items()}


def file_hash(file: Path) -> str:
    """The sha256 of a file.

    Raises:
        UserError: if it is missing.
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}", "Train the recipe first.") from error


def read_outcome(folder: Path) -> Outcome:
    """The evaluation in a folder.

    Raises:
        UserError: if there is none or it is damaged.
    """
    recipe = folder.name
    again = f"Run python -m pipelines.evaluate plan=build/plan/{recipe}.yaml"
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        provenance = Provenance(**json.loads((folder / "provenance.json").read_text()))
        examples = numpy.load(folder / "examples.npy", allow_pickle=False)
        figures = {name: float(value) for name, value in metrics.items() if name != "per_class"}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing", again) from error
    except Exception as error:
        raise UserError(f"the evaluation in {folder} is damaged ({type(error).__name__})", again) from error
    return Outcome(provenance, figures, examples)


def write_outcome(
    folder: Path,
    evaluation: "Evaluation",
    provenance: Provenance,
    examples: "Tensor",
    filters: "Tensor | None",
) -> None:
    """Everything but the pictures; a class without samples has no accuracy and is left out."""
    of_class = zip(provenance.classes, evaluation.per_class, strict=True)
    metrics = {
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "num_samples": evaluation.num_samples,
        "per_class": {name: value for name, value in of_class if not math.isnan(value)},
    }
    write_json(metrics, folder / "metrics.json")
    write_json(
        {"classes": provenance.classes, "matrix": evaluation.confusion.tolist()}, folder / "confusion.json"
    )
    write_json(asdict(provenance), folder / "provenance.json")
    if filters is not None:
        numpy.save(folder / "filters.npy", filters.numpy(), allow_pickle=False)
    numpy.save(folder / "examples.npy", examples.numpy(), allow_pickle=False)


def write_json(content: Any, file: Path) -> None:
    """One JSON document that every reader takes (no NaN)."""
    file.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
