"""Files of conf/ from someone else: what reaches for Hydra is refused before Hydra acts on it."""

from pathlib import Path

import pytest

from modules.configuration.composition import hydra_command
from modules.configuration.composition.compose import compose
from modules.configuration.composition.hydra_command import compose_and_run
from modules.configuration.errors import UserError

GLOBAL = "# @package _global_\n"
CALLBACK = "{x: {_target_: builtins.open, file: ran, mode: w}}"

HOSTILE = {
    "callback": ("recipe/own/mine", f"{GLOBAL}hydra: {{callbacks: {CALLBACK}}}\n"),
    "handlers": (
        "recipe/own/mine",
        f"{GLOBAL}hydra: {{job_logging: {{handlers: {{a: {{(): os.system}}}}}}}}\n",
    ),
    "environment": ("recipe/own/mine", f"{GLOBAL}hydra: {{job: {{env_set: {{A: b}}}}}}\n"),
    "merged": ("recipe/own/mine", f"{GLOBAL}phases: &a {{hydra: {{callbacks: {CALLBACK}}}}}\n<<: *a\n"),
    "null": ("recipe/own/mine", f"{GLOBAL}hydra: null\n"),
    "package": ("recipe/own/mine", f"# @package hydra.callbacks\n{CALLBACK}\n"),
    "data": ("data/mine", f"# @package _global_.hydra\ncallbacks: {CALLBACK}\n"),
    "moved": ("recipe/own/mine", f"{GLOBAL}defaults: [{{/data@hydra.callbacks: mnist_digits}}]\n"),
    "chosen": ("recipe/own/mine", f"{GLOBAL}defaults: [{{override /hydra/job_logging: default}}]\n"),
    "optional": ("recipe/own/mine", f"{GLOBAL}defaults: [{{optional /hydra/callbacks: x}}]\n"),
    "path": ("recipe/own/mine", f"{GLOBAL}defaults: [/hydra/callbacks/x]\n"),
    "climbing": ("recipe/own/mine", f"{GLOBAL}defaults: [{{/data: ../hydra/callbacks/x}}]\n"),
    "option": ("recipe/own/mine", f"{GLOBAL}defaults: [{{override /hydra/launcher: ../x}}]\n"),
    "model": ("model/mine", f"{GLOBAL}hydra: {{callbacks: {CALLBACK}}}\n"),
    "sweep": ("sweep/mine", f"{GLOBAL}hydra: {{callbacks: {CALLBACK}}}\n"),
    "launcher": ("hydra/launcher/mine", "_target_: os.system\n"),
    "group": ("hydra/callbacks/mine", f"{CALLBACK}\n"),
}


@pytest.mark.parametrize(("file", "text"), HOSTILE.values(), ids=HOSTILE)
def test_no_file_reaches_for_hydra(
    file: str, text: str, conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = conf / f"{file}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    group, _, name = file.rpartition("/")
    choice = f"+{file}" if group == "hydra/callbacks" else group
    choice = "recipe=own/mine" if group == "recipe/own" else f"{choice.removesuffix('/mine')}={name}"
    with pytest.raises(UserError, match=rf"{file}.yaml: |hydra/callbacks") as refused:
        compose([choice], conf)
    assert "\n" not in str(refused.value) and not Path("ran").exists()


@pytest.mark.parametrize("flags", [["--cfg=job"], ["--cfg=hydra"], ["-m", "hydra/sweeper=ray"]])
def test_nothing_of_a_hostile_recipe_runs_where_hydra_alone_composes(
    flags: list[str], conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hydra_command, "CONF", conf)
    path = conf / "recipe" / "own" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(HOSTILE["callback"][1])
    with pytest.raises(UserError, match=r"sets hydra\.callbacks, which a file of conf/ may not"):
        compose_and_run(lambda config: Path("ran").touch(), ["recipe=own/mine", *flags])
    assert not Path("ran").exists()


def test_a_recipe_chooses_a_launcher_of_the_yard(conf: Path) -> None:
    path = conf / "recipe" / "feedforward" / "neuron.yaml"
    text = path.read_text()
    path.write_text(text.replace("defaults:\n", "defaults:\n  - override /hydra/launcher: ray\n", 1))
    assert path.read_text() != text and compose(["recipe=neuron"], conf)["name"] == "neuron"


@pytest.mark.parametrize(
    "override",
    ["hydra.launcher=null", "hydra.sweeper=null", "hydra.callbacks=5", "+hydra.callbacks.x={_target_: a.b}"],
)
def test_a_users_own_override_that_makes_no_sense_is_one_line(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="hydra") as refused:
        compose_and_run(lambda config: None, ["recipe=neuron", "-m", "seed=1,2", override])
    assert "\n" not in str(refused.value)


def test_a_file_that_has_changed_is_read_again_and_what_was_read_stays_as_it_was(conf: Path) -> None:
    path = conf / "recipe" / "own" / "mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (conf / "recipe" / "feedforward" / "neuron.yaml").read_text().replace("name: neuron", "name: mine")
    path.write_text(text + "\nseed: 1\n")
    first = compose(["recipe=own/mine"], conf)
    first["model"].clear()
    assert compose(["recipe=own/mine"], conf)["model"]
    path.write_text(text + "\nseed: 2\n")
    assert compose(["recipe=own/mine"], conf)["seed"] == 2
