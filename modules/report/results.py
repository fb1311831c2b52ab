"""What the earlier verbs left under build/, read into one record for each recipe.

A part that isn't there yet is None; a part that is there but can't be read is an error that names its file.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import yaml

from modules.configuration.errors import UserError

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Training:
    """One finished run: its summary, and its learning curves as (step, value)."""

    summary: dict[str, Any]
    history: dict[str, Curve]


@dataclass(frozen=True)
class Mistake:
    """A picture of the test split that the model took for something else."""

    picture: bytes
    truth: str
    prediction: str
    probability: float


@dataclass(frozen=True)
class Evaluation:
    """What the saved weights do on the test split.

    Attributes:
        metrics: numbers by name: accuracy, loss, num_samples.
        per_class: accuracy of each class.
        classes: names, in the order of the confusion matrix.
        confusion: counts; a row is the truth, a column the prediction.
        mistakes: the worst first.
        filters: weights of the first layer, [filters, channels, height, width].
    """

    metrics: dict[str, float]
    per_class: dict[str, float]
    classes: list[str]
    confusion: numpy.ndarray
    mistakes: list[Mistake]
    filters: numpy.ndarray | None


@dataclass(frozen=True)
class Promotion:
    """The decision about a registered version: each gate is (name, passed, detail)."""

    model: str
    version: str
    champion: bool
    previous: dict[str, Any] | None
    gates: list[tuple[str, bool, str]]


@dataclass(frozen=True)
class Recipe:
    """One recipe: its plan, and whatever has come of it so far."""

    name: str
    plan: dict[str, Any]
    network: str | None
    training: Training | None
    evaluation: Evaluation | None
    promotion: Promotion | None

    @property
    def dataset(self) -> str:
        return str(self.plan["data"].get("title") or self.plan["data"]["name"])

    @property
    def model(self) -> str:
        return str(self.plan["model"]["_target_"]).rpartition(".")[2]

    @property
    def metric(self) -> str:
        return str(self.plan["expected"]["metric"])

    @property
    def expected(self) -> float:
        return float(self.plan["expected"]["at_least"])

    @property
    def score(self) -> float | None:
        return self.evaluation.metrics.get(self.metric) if self.evaluation else None

    @property
    def reached(self) -> bool | None:
        """Whether the score is what the recipe expects; None before there is one."""
        return None if self.score is None else self.score >= self.expected

    @property
    def num_parameters(self) -> int:
        return int(self.plan["cost"]["num_parameters"])

    @property
    def multiply_adds(self) -> int:
        return int(self.plan["cost"]["multiply_adds"])

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of training, over all its interruptions."""
        if self.training is None:
            return None
        return self.training.summary.get("seconds_total", self.training.summary.get("seconds"))

    @property
    def missing(self) -> str:
        """What is still to be done, or nothing."""
        if self.training is None:
            return "not trained yet"
        if self.evaluation is None:
            return "trained, not evaluated yet"
        return "" if self.promotion else "evaluated, not registered yet"


def read_recipes(build: Path) -> list[Recipe]:
    """Every planned recipe, by dataset and then from the smallest to the largest amount of arithmetic.

    Raises:
        UserError: if nothing is planned, or a file can't be read or lacks what it must hold.
    """
    plans = sorted((build / "plan").glob("*.yaml"))
    if not plans:
        raise UserError(f"{build / 'plan'} holds no plan", "Run `python -m pipelines.plan --all` first.")
    recipes = [_read_recipe(build, plan) for plan in plans]
    return sorted(recipes, key=lambda recipe: (recipe.dataset, recipe.multiply_adds, recipe.name))


def _read_recipe(build: Path, plan_path: Path) -> Recipe:
    name = plan_path.stem
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        plan = yaml.load(plan_path.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _broken(plan_path, "is not YAML") from error
    for section, keys in (
        ("data", ("name",)),
        ("model", ("_target_",)),
        ("expected", ("metric", "at_least")),
        ("cost", ("num_parameters", "multiply_adds")),
    ):
        for key in keys:
            if not isinstance(plan, dict) or not isinstance(plan.get(section), dict):
                raise _broken(plan_path, f"has no section {section!r}")
            if key not in plan[section]:
                raise _broken(plan_path, f"has no key {section}.{key}")
    picture = plan_path.with_suffix(".svg")
    train, evaluate, promote = (build / verb / name for verb in ("train", "evaluate", "promote"))
    return Recipe(
        name=name,
        plan=plan,
        network=picture.read_text(encoding="utf-8") if picture.is_file() else None,
        training=_read_training(train) if (train / "summary.json").is_file() else None,
        evaluation=_read_evaluation(evaluate) if (evaluate / "metrics.json").is_file() else None,
        promotion=_read_promotion(promote.with_name(f"{name}.json")),
    )


def _read_training(folder: Path) -> Training:
    summary = _read_json(folder / "summary.json", ("identity", "steps", "epochs"))
    history_path = folder / "history.json"
    history = _read_json(history_path) if history_path.is_file() else {}
    try:
        curves = {
            str(name): [(float(step), _number(value)) for step, value in points]
            for name, points in history.items()
        }
    except (TypeError, ValueError) as error:
        raise _broken(history_path, "holds a curve that is not pairs of step and value") from error
    return Training(summary, curves)


def _read_evaluation(folder: Path) -> Evaluation:
    metrics = _read_json(folder / "metrics.json", ("num_samples",))
    per_class = metrics.get("per_class", {})
    confusion_path = folder / "confusion.json"
    confusion: dict[str, Any] = {"classes": [], "matrix": []}
    if confusion_path.is_file():
        confusion = _read_json(confusion_path, ("classes", "matrix"))
    classes = [str(name) for name in confusion["classes"]]
    try:
        matrix = numpy.array(confusion["matrix"], dtype=numpy.int64).reshape(len(classes), len(classes))
        per_class = {str(name): float(value) for name, value in per_class.items()}
        numbers = {str(name): float(value) for name, value in metrics.items() if name != "per_class"}
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _broken(folder, "holds metrics or a confusion matrix of another form") from error
    filters_path = folder / "filters.npy"
    return Evaluation(
        metrics=numbers,
        per_class=per_class,
        classes=classes,
        confusion=matrix,
        mistakes=_read_mistakes(folder / "mistakes"),
        filters=_read_filters(filters_path) if filters_path.is_file() else None,
    )


def _read_mistakes(folder: Path) -> list[Mistake]:
    path = folder / "mistakes.json"
    if not path.is_file():
        return []
    mistakes = []
    for entry in _read_json(path, kind=list):
        try:
            picture = folder / str(entry["file"])
            # Only what lies in this folder goes into a page that is passed on.
            if picture.resolve().parent != folder.resolve():
                raise _broken(path, f"names a picture outside its folder: {entry['file']!r}")
            mistakes.append(
                Mistake(
                    picture=picture.read_bytes(),
                    truth=str(entry["truth"]),
                    prediction=str(entry["prediction"]),
                    probability=float(entry["probability"]),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _broken(path, "lacks file, truth, prediction or probability") from error
        except OSError as error:
            raise _broken(picture, f"can't be read: {error.strerror}") from error
    return mistakes


def _read_filters(path: Path) -> numpy.ndarray:
    try:
        filters = numpy.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _broken(path, "is not an array") from error
    if filters.ndim != 4 or not numpy.isfinite(filters).all():
        raise _broken(path, "is not finite weights [filters, channels, height, width]")
    return filters


def _read_promotion(path: Path) -> Promotion | None:
    if not path.is_file():
        return None
    found = _read_json(path, ("model", "version", "champion", "gates"))
    try:
        gates = [(str(gate["gate"]), bool(gate["passed"]), str(gate["detail"])) for gate in found["gates"]]
    except (KeyError, TypeError) as error:
        raise _broken(path, "holds a gate without gate, passed or detail") from error
    return Promotion(
        str(found["model"]), str(found["version"]), bool(found["champion"]), found.get("previous"), gates
    )


def _read_json(path: Path, keys: tuple[str, ...] = (), kind: type = dict) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _broken(path, "is not JSON") from error
    if not isinstance(found, kind):
        raise _broken(path, f"must hold a {kind.__name__}")
    for key in keys:
        if key not in found:
            raise _broken(path, f"has no key {key!r}")
    return found


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _broken(path: Path, problem: str) -> UserError:
    return UserError(f"{path} {problem}", "Delete it and run `dvc repro` again.")
