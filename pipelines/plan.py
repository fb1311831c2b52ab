"""Composes recipes, checks every key and every shape, and says what they will cost, before anything is spent.

python -m pipelines.plan recipe=lenet model.num_filters=[8,16]    show one, with any overrides
python -m pipelines.plan --all          write build/plan/: all that the other verbs read, networks as images
python -m pipelines.plan --list         name the recipes
python -m pipelines.plan --catalogue    write conf/catalogue.yaml, which dvc.yaml reads, and docs/catalogue.md
"""

import sys
from pathlib import Path

from modules.configuration.command import run
from modules.configuration.errors import UserError
from modules.configuration.names import suggest

FLAGS = ("--all", "--list", "--catalogue", "--help")


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
    from modules.configuration.composition.conf_contents import describe, names

    recipes = names("recipe")
    width = max(map(len, recipes), default=0)
    for recipe in recipes:
        print(f"{recipe:<{width}}  {describe(recipe)}".rstrip())


def _show(overrides: list[str]) -> None:
    from modules.configuration.composition.compose import compose
    from modules.configuration.composition.hydra_loader import key_locations
    from modules.configuration.composition.key_locations import CONF

    config = compose(overrides)
    from rich.console import Console

    from modules.configuration.plans.mirrored_index import check_cache_room
    from modules.shapes.cost import measure_multiply_adds_per_s
    from modules.shapes.shape_check import check_phases, check_shapes
    from modules.shapes.shape_table import network_text, shape_table

    places = key_locations(overrides, CONF)
    phases = check_phases(config, places)
    report = check_shapes(config, places)
    check_cache_room(config)
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
    console.print(network_text(report), highlight=False, markup=False, soft_wrap=True)
    if begins:
        console.print(begins, highlight=False, markup=False)


def _write_catalogue() -> None:
    from modules.configuration.composition.key_locations import shown
    from modules.configuration.yaml_files import write_if_changed
    from modules.planning.plan_all import catalogue_files

    for path, text in catalogue_files().items():
        print(f"{shown(path)}: " + ("written" if write_if_changed(path, text) else "unchanged"))


def _write_all(out: Path) -> None:
    from modules.planning.plan_all import plan_all

    plan_all(out)


if __name__ == "__main__":
    run(main)
