"""Reads what the earlier verbs left under build/; a file that can't be read is an error that names it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy

from modules.configuration.errors import UserError
from modules.configuration.plans import read_yaml
from modules.report import numbers
from modules.report.results import Evaluation, Gate, Mistake, Promotion, Recipe, Training


def read_recipes(build: Path) -> list[Recipe]:
    """Every planned recipe, by dataset and then from the smallest to the largest amount of arithmetic.

    Raises:
        UserError: if nothing is planned, or a file can't be read or lacks what it must hold.
    """
    plans = sorted((build / "plan").glob("*.yaml"))
    if not plans:
        raise UserError(f"{build / 'plan'} holds no plan", "Write it: python -m pipelines.plan --all")
    recipes = [_read_recipe(build, plan) for plan in plans]
    return sorted(recipes, key=lambda recipe: (recipe.dataset, recipe.multiply_adds, recipe.name))


def _read_recipe(build: Path, plan_path: Path) -> Recipe:
    name = plan_path.stem
    plan = read_yaml(plan_path)
    for section, keys in (
        ("data", ("name",)),
        ("model", ("_target_",)),
        ("expected", ("metric", "at_least")),
        ("cost", ("num_parameters", "multiply_adds")),
    ):
        for key in keys:
            if not isinstance(plan.get(section), dict) or key not in plan[section]:
                raise _broken(plan_path, f"has no key {section}.{key}")
    for section, key in (("expected", "at_least"), ("cost", "num_parameters"), ("cost", "multiply_adds")):
        if not isinstance(plan[section][key], int | float) or not math.isfinite(plan[section][key]):
            raise _broken(plan_path, f"has no number in {section}.{key}")
    picture = plan_path.with_suffix(".svg")
    train, evaluate, promote = (build / verb / name for verb in ("train", "evaluate", "promote"))
    return Recipe(
        name=name,
        plan=plan,
        network=_read_text(picture) if picture.is_file() else None,
        training=_read_training(train) if (train / "summary.json").is_file() else None,
        evaluation=_read_evaluation(evaluate) if (evaluate / "metrics.json").is_file() else None,
        promotion=_read_promotion(promote.with_name(f"{name}.json")),
    )


def _read_training(folder: Path) -> Training:
    path = folder / "summary.json"
    summary = _read_json(path, ("identity", "steps", "epochs", "seconds"))
    history_path = folder / "history.json"
    history = _read_json(history_path) if history_path.is_file() else {}
    try:
        curves = {
            str(name): [(float(step), math.nan if value is None else float(value)) for step, value in points]
            for name, points in history.items()
        }
    except (TypeError, ValueError) as error:
        raise _broken(history_path, "holds a curve that is not pairs of step and value") from error
    speed, seed, commit = (summary.get(key) for key in ("samples_per_s", "seed", "git_commit"))
    try:
        return Training(
            identity=str(summary["identity"]),
            steps=int(summary["steps"]),
            epochs=_finite(summary["epochs"]),
            seconds=_finite(summary.get("seconds_total", summary["seconds"])),
            samples_per_s=None if speed is None else _finite(speed),
            seed=None if seed is None else int(seed),
            finished=numbers.moment(summary.get("finished")),
            commit=str(commit or "")[:10] + (" with changes" if summary.get("git_dirty") == "true" else ""),
            processor=str(summary.get("gpu") or summary.get("processor") or ""),
            history=curves,
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise _broken(path, "holds something else where a number must be") from error


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
        per_class = {str(name): _finite(value) for name, value in per_class.items()}
        figures = {str(name): _finite(value) for name, value in metrics.items() if name != "per_class"}
        if (matrix < 0).any():
            raise ValueError("a negative count")
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _broken(folder, "holds metrics or a confusion matrix of another form") from error
    filters_path, provenance = folder / "filters.npy", folder / "provenance.json"
    return Evaluation(
        metrics=figures,
        per_class=per_class,
        classes=classes,
        confusion=matrix,
        mistakes=_read_mistakes(folder / "mistakes"),
        filters=_read_filters(filters_path) if filters_path.is_file() else None,
        identity=str(_read_json(provenance, ("identity",))["identity"]) if provenance.is_file() else "",
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
                    probability=_finite(entry["probability"]),
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
        gates = [
            Gate(
                str(gate["gate"]), bool(gate["passed"]), str(gate["detail"]), bool(gate.get("binding", True))
            )
            for gate in found["gates"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise _broken(path, "holds a gate without gate, passed or detail") from error
    previous = found.get("previous")
    return Promotion(
        model=str(found["model"]),
        version=str(found["version"]),
        champion=bool(found["champion"]),
        previous=str(previous.get("version", "")) if isinstance(previous, dict) else "",
        gates=gates,
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _broken(path, "is not text in UTF-8") from error
    except OSError as error:
        raise _broken(path, f"can't be read: {error.strerror}") from error


def _read_json(path: Path, keys: tuple[str, ...] = (), kind: type = dict) -> Any:
    try:
        found = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise _broken(path, "is not JSON") from error
    if not isinstance(found, kind):
        raise _broken(path, f"must hold a {kind.__name__}")
    for key in keys:
        if key not in found:
            raise _broken(path, f"has no key {key!r}")
    return found


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is not finite")
    return number


def _broken(path: Path, problem: str) -> UserError:
    return UserError(f"{path} {problem}", "Delete it, then: dvc repro report")
