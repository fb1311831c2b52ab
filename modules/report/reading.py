"""Reads what the earlier verbs left under build/; a file that can't be read is an error that names it."""

import math
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.yaml_files import read_yaml
from modules.report import numbers
from modules.report.evaluation_reading import read_evaluation
from modules.report.files import broken, finite, read_json, read_text
from modules.report.results import Curve, Gate, Promotion, Recipe, Training
from modules.tracking.tracker import Tracker

FIGURES = ("identity", "steps", "epochs", "seconds")
WORTH = ("goodput", "mfu", "cpu_hours", "gpu_hours", "money")
"""What summaries of earlier versions lack."""


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
        ("task", ("_target_",)),
        ("expected", ("metric",)),
        ("cost", ("num_parameters", "multiply_adds")),
    ):
        for key in keys:
            if not isinstance(plan.get(section), dict) or key not in plan[section]:
                raise broken(plan_path, f"has no key {section}.{key}")
    bound = "at_most" if plan["expected"].get("at_most") is not None else "at_least"
    for section, key in (("expected", bound), ("cost", "num_parameters"), ("cost", "multiply_adds")):
        number = plan[section].get(key)
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise broken(plan_path, f"has no number in {section}.{key}")
    image = plan_path.with_suffix(".svg")
    about = plan_path.parent / "about" / f"{name}.txt"
    train, evaluate, promote = (build / verb / name for verb in ("train", "evaluate", "promote"))
    return Recipe(
        name=name,
        description=read_text(about).strip() if about.is_file() else "",
        plan=plan,
        network=read_text(image) if image.is_file() else None,
        training=_read_training(train) if (train / "summary.json").is_file() else None,
        evaluation=read_evaluation(evaluate) if (evaluate / "metrics.json").is_file() else None,
        promotion=_read_promotion(promote.with_name(f"{name}.json")),
    )


def _read_training(folder: Path) -> Training:
    path, history_path, phases_path = (folder / f"{name}.json" for name in ("summary", "history", "phases"))
    summary = read_json(path, FIGURES)
    history = read_json(history_path) if history_path.is_file() else {}
    found = read_json(phases_path) if phases_path.is_file() else {}
    try:
        phases = {
            str(name): _training(phases_path, phase["summary"], _curves(phases_path, phase["history"]), {})
            for name, phase in found.items()
        }
    except (TypeError, KeyError) as error:
        raise broken(phases_path, "holds a phase without summary or history") from error
    return _training(path, summary, _curves(history_path, history), phases)


def _curves(path: Path, history: dict[str, Any]) -> dict[str, Curve]:
    try:
        return {
            str(name): [(float(step), math.nan if value is None else float(value)) for step, value in points]
            for name, points in history.items()
        }
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(path, "holds a curve that is not pairs of step and value") from error


def _training(
    path: Path, summary: dict[str, Any], curves: dict[str, Curve], phases: dict[str, Training]
) -> Training:
    folder = str(summary.get("run_folder") or "")
    speed, seed, commit = (summary.get(key) for key in ("samples_per_s", "seed", "git_commit"))
    try:
        return Training(
            identity=str(summary["identity"]),
            steps=int(summary["steps"]),
            epochs=finite(summary["epochs"]),
            seconds=finite(summary.get("seconds_total", summary["seconds"])),
            samples_per_s=None if speed is None else finite(speed),
            seed=None if seed is None else int(seed),
            finished=numbers.moment(summary.get("finished")),
            commit=str(commit or "")[:10] + (" with changes" if summary.get("git_dirty") == "true" else ""),
            cpu=str(summary.get("gpu") or summary.get("cpu") or ""),
            history=curves,
            phases=phases,
            run_folder=folder,
            run_id=Tracker.run_id(Path(folder) / "tracking") or "" if folder else "",
            **{name: _known(summary.get(name)) for name in WORTH},
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise broken(path, "holds something else where a number must be") from error


def _known(value: Any) -> float | None:
    return None if value is None else finite(value)


def _read_promotion(path: Path) -> Promotion | None:
    if not path.is_file():
        return None
    found = read_json(path, ("model", "version", "champion", "gates"))
    try:
        gates = [
            Gate(
                str(gate["gate"]), bool(gate["passed"]), str(gate["detail"]), bool(gate.get("binding", True))
            )
            for gate in found["gates"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise broken(path, "holds a gate without gate, passed or detail") from error
    previous = found.get("previous")
    return Promotion(
        model=str(found["model"]),
        version=str(found["version"]),
        champion=bool(found["champion"]),
        previous=str(previous.get("version", "")) if isinstance(previous, dict) else "",
        gates=gates,
    )
