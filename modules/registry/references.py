"""What names a trained model: a registered one (`lenet@champion`, `lenet@3`), a folder or a file.

Folders are those of runs/ and of build/train/: the plan lies beside the weights, or in build/plan/.
"""

from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.old_plans import read_trained
from modules.registry.versions import Registry, Version


def is_registered(reference: str) -> bool:
    """Whether a reference names a registered model, not a file."""
    return "@" in reference and "/" not in reference


def trained_file(reference: str, key: str) -> Path:
    """The file of weights at a path: itself, or weights.pt in a folder.

    Args:
        reference: the path.
        key: of the configuration, which names it.

    Raises:
        UserError: there is no such file.
    """
    path = Path(reference)
    file = path / "weights.pt" if path.is_dir() or not path.suffix else path
    if not file.is_file():
        hint = "Name a model, a folder or a file"
        if path.parts[:2] == ("build", "train"):
            hint = f"Train it first: dvc repro train@{path.name}"
        elif path.parts[:2] == ("data", "raw") and len(path.parts) > 2:
            hint = f"Fetch it first: python -m pipelines.fetch source={path.parts[2]}"
        raise UserError(f"{key}={reference}: there is no file {file}", hint)
    return file.absolute()


def plan_of(weights: Path) -> dict[str, Any]:
    """The plain plan of a file of weights: beside it in a run's folder, or build/plan/<recipe>.yaml.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    return read_trained(plan_file(weights))


def plan_file(weights: Path) -> Path:
    """Where the plan of a file of weights lies; see `plan_of`.

    Raises:
        UserError: there is none.
    """
    folder = weights.parent
    places = (folder / "plan.yaml", folder.parent.parent / "plan" / f"{folder.name}.yaml")
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"there is no plan to {weights}", "Name a folder of runs/ or of build/train/")


def registry_settings(tracking: str) -> dict[str, Any]:
    """The section `tracking` that a file of conf/tracking or an MLflow URI names."""
    from modules.configuration.composition.compose import compose

    if "://" in tracking:
        return compose(["tracking=server"])["tracking"] | {"uri": tracking}
    return compose([f"tracking={tracking}"])["tracking"]


def registered_version(reference: str, config: dict[str, Any]) -> tuple[Registry, Version]:
    """A registered model's version, and where it is fetched from.

    Args:
        reference: `name@alias` or `name@number`.
        config: whose `tracking` says which registry.

    Raises:
        UserError: there is none, or it was not registered by `promote`.
    """
    registry = Registry(config["tracking"])
    version = registry.resolve(reference)
    if not version.is_promoted:
        raise UserError(
            f"{version.name} version {version.number} was registered by other means than promote",
            "Name another version, or its file of weights",
        )
    return registry, version
