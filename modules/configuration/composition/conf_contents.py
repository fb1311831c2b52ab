"""What conf/ holds: sources, datasets and recipes, and the file that tells dvc.yaml of them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.composition.recipes import recipe_files
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import check_name, suggest
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.execution_settings import SpaceSettings
from modules.configuration.schema.settings import read
from modules.configuration.static_analysis.class_attributes import asks
from modules.configuration.static_analysis.kinds import check_kinds
from modules.configuration.static_analysis.targets import check_targets
from modules.configuration.yaml_files import read_yaml

HEADER = (
    "# Written by `python -m pipelines.plan --catalogue`: what dvc.yaml loops over. Do not edit by hand.\n"
)
HINT = "Write it again: python -m pipelines.plan --catalogue"


def names(group: str, conf: Path = CONF) -> list[str]:
    """The files of a group, without suffix.

    Raises:
        UserError: a file's name could not be a folder's.
    """
    if group == "recipe":
        return list(recipe_files(conf))
    return [check_name(group, path.stem) for path in sorted((conf / group).glob("*.yaml"))]


def groups(conf: Path = CONF) -> list[Path]:
    """The folders of which a configuration takes one file each; other files or commands read the others."""
    others = ("backbone", "source", "space", "comparison", "cluster", "hydra")
    return [path for path in conf.iterdir() if path.is_dir() and path.name not in others]


def describe(recipe: str, conf: Path = CONF) -> str:
    """The first sentence of a recipe's header, which may go over several lines."""
    comment = []
    for line in recipe_files(conf)[recipe].read_text(encoding="utf-8").splitlines():
        if line.startswith("# @"):
            continue
        # The command that trains it is set in, and ends the prose.
        if not line.startswith("# ") or line.startswith("#  "):
            break
        comment.append(line.removeprefix("# ").strip())
    # No end of a sentence: the stops of "et al. 2015" and of "Fig. 3".
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(comment))[0]


def source(name: str, conf: Path = CONF) -> dict[str, Any]:
    """A source: the class that fetches it and that class's keywords."""
    path = conf / "source" / f"{name}.yaml"
    found = read_yaml(path)
    if found.get("name") != name:
        raise UserError(f"{shown(path)}: its name is {found.get('name')!r}", f"Write name: {name}")
    return found


def dataset(name: str, conf: Path = CONF) -> dict[str, Any]:
    """A dataset with its source, checked, apart from any recipe.

    Raises:
        UserError: there is none of that name, or naming the file and key at fault.
    """
    from omegaconf import OmegaConf

    from modules.configuration.composition.hydra_errors import HYDRA_ERRORS, explain
    from modules.configuration.composition.hydra_loader import load

    path = conf / "data" / f"{check_name('dataset', name)}.yaml"
    if not path.is_file():
        raise UserError(f"there is no dataset {name!r}", suggest(name, names("data", conf)))
    try:
        found = OmegaConf.to_container(
            load([], conf, root=f"data/{name}"), resolve=True, throw_on_missing=True
        )
    except HYDRA_ERRORS as error:
        raise explain(error, [], conf) from error
    # A group's file keeps its keys under the group's name.
    plain = found["data"] if isinstance(found, dict) else {}
    try:
        check_targets("", plain)
        check_kinds(plain)
        read(DataSettings, plain)
    except ConfigError as fault:
        raise fault.at(shown(path)) from None
    if plain["name"] != name:
        raise UserError(f"{shown(path)}: its name is {plain['name']!r}", f"Write name: {name}")
    return plain


def space(name: str, conf: Path = CONF) -> SpaceSettings:
    """A space of conf/space, checked.

    Raises:
        UserError: naming the file and key at fault.
    """
    path = conf / "space" / f"{name}.yaml"
    try:
        found = read(SpaceSettings, read_yaml(path))
    except ConfigError as fault:
        raise fault.at(shown(path)) from None
    if found.name != name:
        raise UserError(f"{shown(path)}: its name is {found.name!r}", f"Write name: {name}")
    return found


def space_overrides(name: str, conf: Path = CONF) -> list[str]:
    """The overrides that a space of conf/space stands for.

    Raises:
        UserError: naming the file and key at fault.
    """
    found = space(name, conf)
    return [f"recipe={found.recipe}", f"sweep={found.sweep}", *found.overrides, *found.axes]


def space_chart(name: str, measured: Collection[str], conf: Path = CONF) -> dict[str, Any] | None:
    """How the report shows a space, or None.

    Args:
        name: of the space.
        measured: the metrics that its trials log.
        conf: the folder of configuration.

    Raises:
        UserError: it would show what no trial logs.
    """
    chart = space(name, conf).chart
    if chart is None:
        return None
    if chart.y is not None and chart.y not in measured:
        file = shown(conf / "space" / f"{name}.yaml")
        raise UserError(f"{file}: chart.y: nothing logs {chart.y!r}", suggest(chart.y, measured))
    return asdict(chart)


def catalogue_text(
    sources: dict[str, dict[str, Any]],
    datasets: dict[str, dict[str, Any]],
    recipes: dict[str, dict[str, Any]],
    spaces: dict[str, dict[str, Any]],
) -> str:
    """The text of conf/catalogue.yaml.

    Args:
        sources: by name, whether what it gives `changes`: then its files are looked at each time.
        datasets: {"source"} by name.
        recipes: what `inputs_of` and `asked_by_evaluation` say of each, by name, and whether it `serves`.
        spaces: likewise of one point of each.
    """
    looked_at = [name for name, entry in sources.items() if entry["changes"]]
    lines = [f"looked_at: [{', '.join(looked_at)}]"]
    plans = {
        name: {"plan": f"build/{'look' if name in looked_at else 'plan/sources'}/{name}.yaml"}
        for name in sources
    }
    of_recipes = {
        name: {key: entry[key] for key in ("dataset", "upstream", "asks")} for name, entry in recipes.items()
    }
    served = {name: {"dataset": entry["dataset"]} for name, entry in recipes.items() if entry["serves"]}
    groups = {
        "sources": plans,
        "datasets": datasets,
        "recipes": of_recipes,
        "served": served,
        "spaces": spaces,
    }
    for group, entries in groups.items():
        lines.append(f"{group}:" if entries else f"{group}: {{}}")
        lines += [f"  {name}: {_flow(entry)}" for name, entry in entries.items()]
    return HEADER + "\n".join(lines) + "\n"


def inputs_of(config: dict[str, Any]) -> dict[str, Any]:
    """The dataset of a training, and what else it begins from: `upstream`.

    DVC loops over entries of one form: a training that begins from nothing needs its dataset once more.
    """
    dataset = config["data"]["name"]
    made = _made_folders([config["init_from"], *config["teacher"]])
    if len(made) > 1:
        raise UserError(
            f"{config['name']} begins from {' and '.join(made)}, and a recipe's stage knows one such folder",
            "Name the others by their registered models: name@champion",
        )
    return {"dataset": dataset, "upstream": made[0] if made else f"data/shards/{dataset}/shards.json"}


def asked_by_evaluation(config: dict[str, Any]) -> dict[str, Any]:
    """The trained model that an evaluation `asks`; its dataset once more where there is none."""
    keys = [(node, asks(node["_target_"])) for node in config["evaluation"]]
    made = _made_folders([node.get(key) for node, key in keys if key])
    if len(made) > 1:
        raise UserError(
            f"the evaluation of {config['name']} asks {' and '.join(made)}, and may ask one such folder",
            "Name the others by their registered models: name@champion",
        )
    return {"asks": made[0] if made else f"data/shards/{config['data']['name']}/shards.json"}


def _made_folders(references: Sequence[str | None]) -> list[str]:
    """Those that a stage makes, each once."""
    folders = [Path(*Path(one).parts[:3]).as_posix() for one in references if one]
    return [one for one in dict.fromkeys(folders) if one.startswith(("build/train/", "data/raw/"))]


def _flow(entry: dict[str, Any]) -> str:
    return yaml.safe_dump(entry, default_flow_style=True, width=1000).strip()
