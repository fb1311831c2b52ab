"""Plans one item of the catalogue each: a source, a dataset, a recipe, a space, the code of a verb."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.configuration.composition.conf_contents import (
    asked_by_evaluation,
    dataset,
    describe,
    inputs_of,
    source,
    space_chart,
    space_overrides,
)
from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.composition.recipes import recipe_files
from modules.configuration.errors import UserError
from modules.configuration.plans.code_rings import CARRYING_ROOTS, carrying_code
from modules.configuration.plans.plan_files import plan_text
from modules.configuration.schema.data_settings import MIRROR_KEYS
from modules.configuration.static_analysis.class_attributes import changes, serves, validation_metrics
from modules.configuration.static_analysis.code_fingerprint import code_fingerprint
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import to_yaml
from modules.planning.catalogue_page import page_facts
from modules.planning.plan_cache import Planned
from modules.shapes.make_plan import named_targets, with_costs

if TYPE_CHECKING:
    from modules.configuration.composition.key_locations import KeyLocations

SHARDING = ("modules.datamodules.shard_writer",)


def plan_source(name: str) -> Planned:
    """Where a source comes from, and the code that fetches it."""
    node = source(name)
    code = code_fingerprint(named_targets(node))
    files = {f"sources/{name}.yaml": to_yaml(node | {"code": code})}
    facts = {"changes": changes(node["_target_"])}
    return Planned(files, [CONF / "source" / f"{name}.yaml", *_paths(code)], facts)


def plan_dataset(name: str) -> Planned:
    """A dataset with its source, and the code that shards it."""
    data = dataset(name)
    code = code_fingerprint([*named_targets(data["reader"]), *SHARDING])
    layers = [CONF / "data" / f"{name}.yaml", CONF / "source" / f"{data['source']['name']}.yaml"]
    files = {f"datasets/{name}.yaml": to_yaml(data | {"code": code})}
    return Planned(files, [*layers, *_paths(code)], {"source": data["source"]["name"]})


def plan_recipe(name: str) -> Planned:
    """A recipe composed, checked and costed, its network as an image, a sentence about it, the code that
    evaluates it.

    Raises:
        UserError: a key or a shape is wrong.
    """
    from modules.configuration.composition.compose import compose
    from modules.configuration.composition.hydra_loader import key_locations
    from modules.shapes.network_diagram import network_svg
    from modules.shapes.shape_check import check_phases, check_shapes

    config = compose([f"recipe={name}"])
    file = shown(recipe_files()[name])
    if config["name"] != name:
        raise UserError(f"{file}: its name is {config['name']!r}", f"Write name: {name}")
    check_shared_data(config, file)
    places = key_locations([f"recipe={name}"], CONF)
    report = check_shapes(config, places)
    plan = with_costs(config, report, check_phases(config, places))
    # Apart from the code that trains: an edit of an evaluator evaluates again, and trains nothing.
    evaluating = code_fingerprint(["pipelines.evaluate", *named_targets(config["evaluation"])])
    print(f"{name}: {plan.cost.num_parameters:,} parameters, {plan.cost.multiply_adds:,} multiply-adds")
    files = {
        f"{name}.yaml": plan_text(plan.to_plain()),
        f"{name}.svg": network_svg(report),
        f"about/{name}.txt": describe(name) + "\n",
        f"verbs/evaluate/{name}.yaml": to_yaml({"code": evaluating}),
    }
    code = [path for run in plan.all_runs for path in run.code.files]
    inputs = [*_layers(places), *_paths(evaluating), *(ROOT / path for path in code)]
    facts = {
        "serves": serves(config["task"]["_target_"]),
        "classes": [node["_target_"] for node in (config["task"], *config["evaluation"])],
        "page": page_facts(recipe_files()[name], describe(name), config, plan.cost),
    }
    return Planned(files, inputs, inputs_of(config) | asked_by_evaluation(config) | facts)


def plan_space(name: str) -> Planned:
    """A search space, every point of it checked that is known beforehand.

    Raises:
        UserError: a key or a shape of a point is wrong.
    """
    from modules.configuration.composition.hydra_loader import key_locations
    from modules.sweeps.control.sweep_setup import as_plain, check_points, draft

    drafted = draft(space_overrides(name))
    base = check_points(drafted)
    plan = {"name": name, "overrides": drafted.overrides, "search": as_plain(drafted.search)}
    files = {f"spaces/{name}.yaml": to_yaml(plan)}
    # Beside the plan: another caption is no other sweep.
    if chart := space_chart(name, validation_metrics(drafted.config["task"]["_target_"])):
        files[f"charts/{name}.yaml"] = to_yaml(chart)
    layers = [
        layer
        for choice in drafted.plans.file_choices()
        for layer in _layers(key_locations([*drafted.space.fixed, *choice], CONF))
    ]
    sweeping = sorted((ROOT / "modules" / "sweeps").rglob("*.py"))
    code = [ROOT / path for path in {**base.code.files, **drafted.plans.code_files()}]
    inputs = [CONF / "space" / f"{name}.yaml", *layers, *sweeping, *code]
    return Planned(files, inputs, inputs_of(drafted.config))


def plan_verb(verb: str) -> Planned:
    """The code of a verb; of `train` what carries any training, since recipes know what decides theirs."""
    if verb == "train":
        code = code_fingerprint(list(CARRYING_ROOTS))
        text = to_yaml({"carrying_code": carrying_code()})
    else:
        code = code_fingerprint([f"pipelines.{verb}"])
        text = to_yaml({"code": code})
    return Planned({f"verbs/{verb}.yaml": text}, _paths(code))


def check_shared_data(config: dict[str, Any], file: str) -> None:
    """Refuses a recipe that changes data which others share.

    Raises:
        UserError: its data are not those of conf/data.
    """
    name = config["data"]["name"]
    known = (CONF / "data" / f"{name}.yaml").is_file()
    data = {key: value for key, value in config["data"].items() if key not in MIRROR_KEYS}
    if not known or data != dataset(name):
        hint = "Recipes share its shards: give the changed one a file and name of its own in conf/data"
        raise UserError(f"{file}: data differs from conf/data/{name}.yaml", hint)


def _layers(places: "KeyLocations") -> list[Path]:
    return [layer.path for layer in places.layers]


def _paths(code: dict[str, Any]) -> Iterable[Path]:
    return [ROOT / path for path in code["files"]]
