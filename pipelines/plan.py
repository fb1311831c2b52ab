"""Composes recipes, checks every key and every shape, and says what they will cost, before anything is spent.

python -m pipelines.plan recipe=lenet model.num_filters=[8,16]    show one, with any overrides
python -m pipelines.plan --all          write build/plan/: all that the other verbs read
python -m pipelines.plan --list         name the recipes
python -m pipelines.plan --catalogue    write conf/catalogue.yaml, which dvc.yaml reads
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.configuration.command import run
from modules.configuration.errors import UserError
from modules.configuration.names import suggest
from modules.shapes.make_plan import named_targets, with_costs

if TYPE_CHECKING:
    from modules.configuration.composition.key_locations import Origins
    from modules.sweeps.control.sweep_setup import Draft

Composed = tuple[dict[str, Any], "Origins"]
"""A recipe's configuration, and the files that it comes from."""

FLAGS = ("--all", "--list", "--catalogue", "--help")
SHARDING = ("modules.datamodules.shard_writer",)
VERBS = ("promote", "report")


def main(argv: list[str]) -> None:
    """Does what the flag says; without a flag shows one recipe."""
    flags = ["--help" if word == "-h" else word for word in argv if word.startswith("-")]
    unknown = [flag for flag in flags if flag not in FLAGS]
    if unknown:
        raise UserError(f"there is no flag {unknown[0]}", suggest(unknown[0], FLAGS))
    if flags and len(argv) > 1:
        raise UserError(f"{flags[0]} stands alone", "See --help")
    match flags:
        case ["--help"]:
            print((__doc__ or "").strip())
        case ["--list"]:
            _list()
        case ["--catalogue"]:
            _write_catalogue()
        case ["--all"]:
            _write_all(Path("build/plan"))
        case _:
            _show(argv)


def _list() -> None:
    from modules.configuration.composition.catalogue import describe, names

    recipes = names("recipe")
    width = max(map(len, recipes), default=0)
    for recipe in recipes:
        print(f"{recipe:<{width}}  {describe(recipe)}".rstrip())


def _show(overrides: list[str]) -> None:
    from modules.configuration.composition.compose import compose
    from modules.configuration.composition.hydra_loader import origins
    from modules.configuration.composition.key_locations import CONF

    config = compose(overrides)
    from rich.console import Console

    from modules.shapes.cost import measure_multiply_adds_per_s
    from modules.shapes.shape_check import check_phases, check_shapes
    from modules.shapes.shape_table import shape_table

    places = origins(overrides, CONF)
    phases = check_phases(config, places)
    report = check_shapes(config, places)
    begins = ""
    if config["init_from"] or config["teacher"]:
        from modules.registry.pretrained import check_pretrained

        begins = check_pretrained(config)
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name, phase in phases.items():
        cost = phase.cost
        learned = f"{cost.num_trainable:,} of {cost.num_parameters:,} parameters learn"
        arithmetic = f"a step is {cost.step_multiply_adds / 1e9:.3g} G multiply-adds"
        console.print(f"phase {name}: {learned}, {arithmetic}", highlight=False)
    console.print(shape_table(report, measure_multiply_adds_per_s()))
    if begins:
        console.print(begins, highlight=False, markup=False)


def _compose_recipes() -> dict[str, Composed]:
    from modules.configuration.composition.catalogue import names
    from modules.configuration.composition.compose import compose
    from modules.configuration.composition.hydra_loader import origins
    from modules.configuration.composition.key_locations import CONF

    recipes = {}
    for recipe in names("recipe"):
        config = compose([f"recipe={recipe}"])
        if config["name"] != recipe:
            raise UserError(
                f"conf/recipe/{recipe}.yaml: its name is {config['name']!r}", f"Write name: {recipe}"
            )
        recipes[recipe] = config, origins([f"recipe={recipe}"], CONF)
    return recipes


def _draft_spaces() -> dict[str, "Draft"]:
    from modules.configuration.composition.catalogue import names, space_overrides
    from modules.sweeps.control.sweep_setup import draft

    return {name: draft(space_overrides(name)) for name in names("space")}


def _catalogue(
    recipes: dict[str, Composed], datasets: dict[str, dict[str, Any]], spaces: dict[str, "Draft"]
) -> str:
    from modules.configuration.composition.catalogue import catalogue, names

    configs = {recipe: config for recipe, (config, _) in recipes.items()}
    for recipe, config in configs.items():
        name = config["data"]["name"]
        if config["data"] != datasets.get(name):
            hint = "Recipes share its shards: give the changed one a file and name of its own in conf/data"
            raise UserError(f"conf/recipe/{recipe}.yaml: data differs from conf/data/{name}.yaml", hint)
    of_spaces = {name: space.config for name, space in spaces.items()}
    return catalogue(configs, datasets, names("source"), of_spaces)


def _datasets() -> dict[str, dict[str, Any]]:
    from modules.configuration.composition.catalogue import dataset, names

    return {name: dataset(name) for name in names("data")}


def _write_catalogue() -> None:
    from modules.configuration.composition.key_locations import CONF
    from modules.configuration.yaml_files import write_if_changed

    written = write_if_changed(
        CONF / "catalogue.yaml", _catalogue(_compose_recipes(), _datasets(), _draft_spaces())
    )
    print("conf/catalogue.yaml: " + ("written" if written else "unchanged"))


def _write_all(out: Path) -> None:
    """Writes every plan, once all of them are known to be right."""
    from modules.configuration.composition.catalogue import HINT, names, source, space_chart
    from modules.configuration.composition.key_locations import CONF
    from modules.configuration.static_analysis.class_attributes import evaluator_of, validation_metrics
    from modules.configuration.static_analysis.code_fingerprint import code_fingerprint
    from modules.configuration.yaml_files import to_yaml
    from modules.sweeps.control.sweep_setup import as_plain, check_points

    recipes, datasets, spaces = _compose_recipes(), _datasets(), _draft_spaces()
    known = CONF / "catalogue.yaml"
    if not known.is_file() or known.read_text(encoding="utf-8") != _catalogue(recipes, datasets, spaces):
        raise UserError("conf/catalogue.yaml does not show what conf/ holds", HINT)
    files: dict[str, str] = {}
    for name in names("source"):
        node = source(name)
        files[f"sources/{name}.yaml"] = to_yaml(node | {"code": code_fingerprint(named_targets(node))})
    for name, data in datasets.items():
        code = code_fingerprint([*named_targets(data["reader"]), *SHARDING])
        files[f"datasets/{name}.yaml"] = to_yaml(data | {"code": code})
    for name, space in spaces.items():
        check_points(space)
        plan = {"name": name, "overrides": space.overrides, "search": as_plain(space.search)}
        files[f"spaces/{name}.yaml"] = to_yaml(plan)
        # Beside the plan: another caption is no other sweep.
        if chart := space_chart(name, validation_metrics(space.config["task"]["_target_"])):
            files[f"charts/{name}.yaml"] = to_yaml(chart)
    for verb in VERBS:
        files[f"verbs/{verb}.yaml"] = to_yaml({"code": code_fingerprint([f"pipelines.{verb}"])})
    for recipe, (config, _) in recipes.items():
        # Tasks know by name alone what evaluates them: an edit of it evaluates again, and trains nothing.
        evaluator = evaluator_of(config["task"]["_target_"])
        code = code_fingerprint(["pipelines.evaluate", *([evaluator] if evaluator else [])])
        files[f"verbs/evaluate/{recipe}.yaml"] = to_yaml({"code": code})
    files |= _recipe_files(recipes)
    _write(out, files)


def _recipe_files(recipes: dict[str, Composed]) -> dict[str, str]:
    from modules.configuration.yaml_files import to_yaml
    from modules.shapes.network_diagram import network_svg
    from modules.shapes.shape_check import check_phases, check_shapes

    files = {}
    for recipe, (config, places) in recipes.items():
        report = check_shapes(config, places)
        files[f"{recipe}.yaml"] = to_yaml(with_costs(config, report, check_phases(config, places)))
        files[f"{recipe}.svg"] = network_svg(report)
        cost = report.cost
        print(f"{recipe}: {cost.num_parameters:,} parameters, {cost.multiply_adds:,} multiply-adds")
    return files


def _write(out: Path, files: dict[str, str]) -> None:
    from modules.configuration.yaml_files import write_if_changed

    written = [name for name, text in files.items() if write_if_changed(out / name, text)]
    gone = [
        path for path in out.rglob("*") if path.is_file() and path.relative_to(out).as_posix() not in files
    ]
    for path in gone:
        path.unlink()
    print(f"{out}: {len(files)} files, {len(written)} written, {len(gone)} removed")


if __name__ == "__main__":
    run(main)
