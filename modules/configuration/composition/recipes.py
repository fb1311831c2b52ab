"""Recipes lie in families, conf/recipe/<family>/<name>.yaml, and are called by their names alone.

A recipe's name is its own, whatever its family: `recipe=lenet` means `recipe=convolutional/lenet`.
"""

import re
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.names import check_name
from modules.configuration.static_analysis.definitions import ROOT

_CHOICE = re.compile(r"(\+?recipe=)(.+)", re.DOTALL)


def recipe_files(conf: Path = ROOT / "conf") -> dict[str, Path]:
    """The file of each recipe, by name, in the order of names.

    Raises:
        UserError: two families have a recipe of the same name, or a name could not be a folder's.
    """
    found: dict[str, Path] = {}
    for path in sorted((conf / "recipe").rglob("*.yaml"), key=lambda path: path.stem):
        if (other := found.get(check_name("recipe", path.stem))) is not None:
            both = " and ".join(one.relative_to(conf.parent).as_posix() for one in (other, path))
            raise UserError(f"{both} have the same name", "Rename one: a recipe is called by its name alone")
        found[path.stem] = path
    return found


def with_families(overrides: list[str], conf: Path = ROOT / "conf") -> list[str]:
    """Overrides as Hydra takes them: `recipe=lenet,perceptron` with the family of each."""
    return [_with_families(override, conf) for override in overrides]


def _with_families(override: str, conf: Path) -> str:
    choice = _CHOICE.fullmatch(override)
    if choice is None:
        return override
    files = recipe_files(conf)
    named = [_path(name, files, conf) for name in choice[2].split(",")]
    return choice[1] + ",".join(named)


def _path(name: str, files: dict[str, Path], conf: Path) -> str:
    path = files.get(name.strip())
    return name if path is None else path.relative_to(conf / "recipe").with_suffix("").as_posix()
