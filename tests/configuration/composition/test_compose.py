"""Composition: every file of conf/ is reached, and every mistake is one line with file, key and hint."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.configuration.composition.compose import compose
from modules.configuration.composition.conf_contents import dataset, names, source
from modules.configuration.errors import UserError
from modules.configuration.schema.settings import Settings
from modules.configuration.static_analysis.definitions import ROOT

CONF = ROOT / "conf"
NO_GROUPS = ("backbone", "cluster", "comparison", "hydra", "space")  # part of a model, or read by others
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name not in NO_GROUPS)


def files(group: str) -> list[str]:
    return sorted(
        path.relative_to(CONF / group).with_suffix("").as_posix() for path in (CONF / group).rglob("*.yaml")
    )


CHOICES = [(group, file) for group in GROUPS for file in files(group)]


@pytest.mark.parametrize(("group", "file"), CHOICES)
def test_every_file_of_conf_composes(group: str, file: str) -> None:
    if group == "source":
        assert source(file)["name"] == file
    elif group == "data":
        assert dataset(file)["name"] == file
    elif not yaml.safe_load((CONF / group / f"{file}.yaml").read_text()) and group == "optimizer":
        with pytest.raises(UserError, match="optimizer: has no _target_"):  # the recipe names steps
            compose(["recipe=neuron", f"optimizer={file}", "~optimizer.lr"])
    else:
        config = composed_with(f"{group}={file}")
        assert set(config) == set(Settings.__dataclass_fields__)
        if group == "recipe":
            assert config["name"] == file.rpartition("/")[2]


def composed_with(choice: str) -> dict[str, Any]:
    """With the first recipe that the choice goes with: a recipe's keys of a model suit that model alone.

    Those that name the file are tried first."""
    if choice.startswith("recipe="):
        return compose([choice])
    file = choice.partition("=")[2]
    faults = []
    for recipe in sorted(
        files("recipe"), key=lambda name: file not in (CONF / "recipe" / f"{name}.yaml").read_text()
    ):
        try:
            return compose([f"recipe={recipe}", choice])
        except UserError as error:
            faults.append(error)
    raise faults[-1]


def test_a_recipes_key_for_another_model_says_how_to_take_it_away(conf: Path) -> None:
    recipe = conf / "recipe" / "feedforward" / "neuron.yaml"
    recipe.write_text(recipe.read_text() + "model: {dropout: 0.5}\n")
    overrides = ["recipe=neuron", "model=feedforward/neuron"]
    with pytest.raises(UserError, match=r"recipe/feedforward/neuron.yaml:.*~model.dropout"):
        compose(overrides, conf)
    assert "dropout" not in compose([*overrides, "~model.dropout"], conf)["model"]


def test_no_yaml_lies_outside_the_groups() -> None:
    assert sorted(path.name for path in CONF.glob("*.yaml")) == ["catalogue.yaml", "config.yaml"]
    assert {path.suffix for path in CONF.rglob("*") if path.is_file()} == {".yaml"}


def test_result_is_plain_and_resolved() -> None:
    config = compose(["recipe=lenet", "model.num_filters=[8,16]", "trainer.max_epochs=2"])
    assert type(config["model"]) is dict and type(config["model"]["num_filters"]) is list
    assert config["model"]["num_filters"] == [8, 16]
    assert config["model"]["num_classes"] == len(config["data"]["fields"]["label"]["classes"]) == 10
    assert config["model"]["input_shape"] == config["data"]["fields"]["image"]["shape"]
    assert config["trainer"]["max_epochs"] == 2


MISTAKES = [
    ("recipe=lent", ["no recipe 'lent'", "Did you mean lenet?"]),
    ("model=lenet", ["no model 'lenet'", "Did you mean convolutional/lenet?"]),
    ("recip=lenet", ["no 'recip'", "Did you mean recipe?"]),
    ("model.num_filtrs=[1]", ["no 'model.num_filtrs'", "Did you mean model.num_filters?"]),
    ("trainr.max_epochs=1", ["no 'trainr.max_epochs'", "Did you mean trainer.max_epochs?"]),
    ("lr=0.1", ["no 'lr'", "Did you mean optimizer.lr?"]),
    ("+model.num_filtrs=[1]", ["model.num_filtrs", "LeNet has no 'num_filtrs'", "Did you mean num_filters?"]),
    ("+trainer.max_epoch=1", ["trainer.max_epoch", "TrainerSettings has no 'max_epoch'", "max_epochs?"]),
    ("+optimizer.moment=1", ["optimizer.moment", "AdamW has no 'moment'"]),
    ("+optimizer.params=[]", ["optimizer.params", "set by the program"]),
    ("+sed=1", ["Settings has no 'sed'", "Did you mean seed?"]),
    ("~model.num_filter", ["no 'model.num_filter' to delete", "Did you mean model.num_filters?"]),
    ("~fine_tuning.adapter", ["'fine_tuning.adapter' is null already", "Leave ~fine_tuning.adapter out"]),
    ("backbone=resnet", ["a backbone is a part of a model", "backbone@model.backbone=..."]),
    ("~model.num_classes", ["model.num_classes", "is missing", "LeNet needs it (int)"]),
    ("~seed", ["seed", "is missing"]),
    ("seed=???", ["seed is missing (???)", "seed=..."]),
    ("expected.metric=acuracy", ["no evaluator measures 'acuracy'", "Did you mean accuracy?"]),
    (
        "expected.metric=loss",
        ["expected.at_least", "of loss the smaller value is the better one", "at_most: 0.91"],
    ),
    ("~expected.at_least", ["one of at_least and at_most is needed"]),
    ("+expected.at_most=1", ["one of at_least and at_most is needed, and not both"]),
    ("evaluation=clasification", ["there is no evaluation 'clasification'", "Did you mean classification?"]),
    ("+evaluation.0.size=3", ["evaluation[0].size", "ClassificationEvaluator"]),
    ("seed=abc", ["command line (seed=abc)", "'abc' (str) where int is expected"]),
    ("seed=true", ["True (bool) where int is expected"]),
    ("seed=1.0", ["1.0 (float) where int is expected", "Write 1"]),
    ('seed="1"', ["'1' (str) where int is expected", "without quotes"]),
    ("seed=-1", ["seed: -1 is not between"]),
    ("name=1", ["name: 1 (int) where str is expected", 'Put it in quotes: "1"']),
    ("name=../x", ["'../x' is no name for a recipe"]),
    ("data.name=a/b", ["data.name", "'a/b' is no name for a dataset"]),
    ("optimizer.lr=fast", ["optimizer.lr", "'fast' (str) where float is expected"]),
    ("optimizer.fused=3", ["optimizer.fused", "bool | null is expected"]),
    ("model.num_filters=[8,a]", ["command line", "model.num_filters[1]", "'a' (str) where int is expected"]),
    ("model.num_filters=8", ["model.num_filters", "8 (int) where list[int] is expected"]),
    ("trainer.precision=32-tru", ["is none of 32-true", "Did you mean 32-true?"]),
    ("trainer.batch_size=0", ["trainer.batch_size: 0 is below 1"]),
    ("data.fields.image.shape=[0,1,1]", ["data.fields.image.shape", "0 is below 1"]),
    ("data.fields.image.axes=[x]", ["data.fields.image.axes", "1 axes"]),
    ("data.splits.validation.fraction=2", ["data.splits.validation.fraction", "not between 0 and 1"]),
    ("seed=${data.nam}", ["seed: ${data.nam} leads to nothing", "Did you mean ${data.name}?"]),
    ("seed=${sed}", ["${sed} leads to nothing", "Did you mean ${seed}?"]),
    ("seed=${lenght:a}", ["no resolver ${lenght:...}", "Did you mean length?"]),
    ("seed=${length:data}", ["seed", "length of 'data', which is no list"]),
    ("seed=${seed}", ["seed", "Recursive interpolation"]),
    ("model.num_filters=[1", ["override 'model.num_filters=[1' cannot be read", "quote"]),
    ("recipe", ["cannot be read", "Write recipe=value"]),
    ("lenet", ["cannot be read", "Did you mean recipe=lenet?"]),
    ("lenett", ["cannot be read", "Did you mean recipe=lenet?"]),
    ("data.title=a#b", ["cannot be read", "The character # needs quotes: \"data.title='a#b'\""]),
    ("data.title=a=b", ["cannot be read", "The character = needs quotes: \"data.title='a=b'\""]),
    ("data.title=Über", ["cannot be read", "The character Ü needs quotes: \"data.title='Über'\""]),
    ("model=alexnet", ["no model 'alexnet'", "There is: ", "convolutional/lenet, "]),
    ("trainer.gradient_clip_norm=None", ["'None' (str) where float | null is expected", "Write null"]),
    ("optimizer.lr=0", ["command line (optimizer.lr=0): optimizer.lr: 0 is not above 0"]),
    ("seed=1,2", ["has several values", "-m"]),
    ("+seed=1", ["'seed' is there already", "Leave the + out: seed=..."]),
    ("+recipe=lenet", ["more than once", "Leave the + out"]),
    ("model=null", ["model=null"]),
    ("=3", ["=3"]),
    ("hydra.foo=1", ["Hydra has no 'hydra.foo'"]),
    ("hydra/launcher=rai", ["no hydra/launcher 'rai'", "Did you mean ray?"]),
    ("model._target_=modules.models.convolutional.lenet.LeNett", ["Did you mean", "lenet.LeNet?"]),
    (
        "model._target_=modules.models.convolutional.lenett.LeNet",
        ["no module 'lenett'", "convolutional.lenet?"],
    ),
    ("~model._target_", ["model", "has no _target_"]),
    ("allowed_targets=[os]", ["allowed_targets", "conf/config.yaml alone"]),
]


@pytest.mark.parametrize(("override", "parts"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_mistake_is_one_line_with_a_hint(override: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        compose([override])
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_all_sections_say_what_is_wrong_with_them_at_once() -> None:
    wrong = ["optimizer.lr=-3", "model.num_filters=x", "expected.metric=accurcy", "trainer.max_epochs=-1"]
    with pytest.raises(UserError) as caught:
        compose(["recipe=lenet", *wrong])
    found = [str(fault) for fault in (caught.value, *caught.value.others)]
    assert [text.partition(")")[0] for text in found] == [
        f"command line ({override}" for override in (wrong[1], wrong[2], wrong[0], wrong[3])
    ]


BY_STEP = ["recipe=neural_cryptography", "optimizer=by_step", "~optimizer.lr", "~optimizer.weight_decay"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "optimizer: has no _target_. Choose a file, such as optimizer=adamw, or write a node for each"),
        (
            ["+optimizer.eve.lr=0.1"],
            "command line (+optimizer.eve.lr=0.1): optimizer.eve: has no _target_."
            " Add its class: +optimizer.eve._target_=torch.optim.AdamW",
        ),
        (["+optimizer.eve=0.1"], "the optimizer is a mapping by steps, and 0.1 is no step's node. A step's"),
        (["+optimizer.eve._target_=torch.optim.Adm"], "Did you mean torch.optim.Adam?"),
        (
            ["+optimizer.eve._target_=torch.optim.Adam", "+optimizer.eve.lrr=1"],
            "optimizer.eve.lrr: Adam has no 'lrr'",
        ),
    ],
)
def test_an_optimizer_for_each_step_is_checked_as_one_for_all(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        compose(BY_STEP + overrides)
    nodes = [f"+optimizer.{step}._target_=torch.optim.SGD" for step in ("eve", "alice_and_bob")]
    assert set(compose(BY_STEP + nodes)["optimizer"]) == {"eve", "alice_and_bob"}


@pytest.mark.parametrize("override", ["+optimizer.eve.lr=0.1", "+optimizer.eve._target_=torch.optim.SGD"])
def test_a_step_of_one_optimizer_for_all_is_told_of_a_mapping(override: str) -> None:
    with pytest.raises(UserError) as refused:
        compose(["recipe=neural_cryptography", override])
    assert str(refused.value) == (
        f"command line ({override}): optimizer.eve: the optimizer is one AdamW for all steps of the task. One"
        " for each step is optimizer=by_step with +optimizer.eve._target_=torch.optim.AdamW and so on"
    )
    with pytest.raises(
        UserError, match=r"optimizer\.foreachh: AdamW has no 'foreachh'\. Did you mean foreach"
    ):
        compose(["recipe=neural_cryptography", "+optimizer.foreachh=true"])


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        (
            "recipe/convolutional/lenet.yaml",
            "trainer:",
            "trainr:",
            ["conf/recipe/convolutional/lenet.yaml:", "Settings has no 'trainr'", "trainer?"],
        ),
        (
            "recipe/convolutional/lenet.yaml",
            "convolutional/lenet",
            "lenet",
            ["conf/recipe/convolutional/lenet.yaml:", "there is no model 'lenet'", "convolutional/lenet?"],
        ),
        (
            "recipe/convolutional/lenet.yaml",
            "/data:",
            "/dat:",
            ["conf/recipe/convolutional/lenet.yaml: there is no 'dat'", "Did you mean data?"],
        ),
        (
            "model/convolutional/lenet.yaml",
            "pooling",
            "poling",
            ["conf/model/convolutional/lenet.yaml:9", "Did you mean pooling?"],
        ),
        (
            "model/convolutional/lenet.yaml",
            "5\n",
            "big\n",
            ["conf/model/convolutional/lenet.yaml:6", "model.kernel_size", "int"],
        ),
        (
            "model/convolutional/lenet.yaml",
            "data.fields.label",
            "data.fields.labl",
            ["conf/model/convolutional/lenet.yaml:4", "leads to nothing", "${data.fields.label.classes}?"],
        ),
        (
            "trainer/default.yaml",
            "batch_size: 128",
            "batch_size: [1",
            ["conf/trainer/default.yaml:", "no valid YAML"],
        ),
        (
            "trainer/default.yaml",
            "block_steps",
            "block_step",
            ["conf/trainer/default.yaml:", "Did you mean block_steps?"],
        ),
        (
            "data/fashion_mnist.yaml",
            "units: class number",
            "unit: class number",
            ["conf/data/fashion_mnist.yaml:", "data.fields.label.unit", "units?"],
        ),
        (
            "data/fashion_mnist.yaml",
            "Trouser",
            "yes",
            ["conf/data/fashion_mnist.yaml:", "True (bool) where str is expected", "put the word in quotes"],
        ),
        (
            "source/fashion_mnist.yaml",
            "sha256",
            "sha265",
            ["conf/source/fashion_mnist.yaml:", "data.source.sha265", "sha256?"],
        ),
        ("config.yaml", "seed: 0", "seed: zero", ["conf/config.yaml:", "seed", "int"]),
        (
            "recipe/convolutional/lenet.yaml",
            "name: lenet",
            "name: lenet5",
            ["conf/recipe/convolutional/lenet.yaml:", "name: 'lenet5' in the file lenet.yaml", "name: lenet"],
        ),
        (
            "recipe/convolutional/lenet.yaml",
            "# @package _global_\n",
            "",
            [
                "conf/recipe/convolutional/lenet.yaml: ",
                "below recipe",
                "first line has to be: # @package _glo",
            ],
        ),
        (
            "recipe/convolutional/lenet.yaml",
            "# @package _global_\n",
            "# Mine.\n# @package _global_\n",
            ["conf/recipe/convolutional/lenet.yaml: ", "first line has to be: # @package _global_"],
        ),
    ],
)
def test_mistake_in_a_file_names_file_and_line(
    conf: Path, file: str, old: str, new: str, parts: list[str]
) -> None:
    path = conf / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError) as caught:
        compose(["recipe=lenet"], conf)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message
    for part in parts:
        assert part in message, message


def test_a_users_own_prefix_is_read_from_the_root_file(conf: Path) -> None:
    path = conf / "config.yaml"
    path.write_text(path.read_text().replace("allowed_targets: []", "allowed_targets: [json.]"))
    assert compose([], conf)["allowed_targets"] == ["json."]
    recipe = conf / "recipe" / "convolutional" / "lenet.yaml"
    recipe.write_text(recipe.read_text() + "allowed_targets: [json., os.]\n")
    with pytest.raises(UserError, match=r"recipe/convolutional/lenet.yaml:.*allowed_targets.* alone"):
        compose(["recipe=lenet"], conf)


def test_composition_imports_no_torch() -> None:
    program = (
        "import sys; from modules.configuration.composition.compose import compose\n"
        "compose(['recipe=lenet_digits'])\n"
        "print([m for m in ('torch', 'pytorch_lightning', 'mlflow', 'ray', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_every_dataset_and_source_has_its_files_name() -> None:
    assert names("data") == files("data") and names("source") == files("source")
