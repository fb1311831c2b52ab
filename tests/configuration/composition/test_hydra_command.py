"""Hydra's command line: what its users expect, and every refusal in one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.composition.completion import candidates
from modules.configuration.composition.hydra_command import compose_and_run, job_key_locations
from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_gets_a_plain_checked_configuration_and_leaves_no_file(tmp_path: Path) -> None:
    runs: list[dict[str, Any]] = []
    compose_and_run(runs.append, ["recipe=neuron", "seed=5"])
    assert [(type(run), run["name"], run["seed"]) for run in runs] == [(dict, "neuron", 5)]
    assert "hydra" not in runs[0]
    assert Path.cwd() == tmp_path and not list(tmp_path.iterdir())
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_a_sweep_runs_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, str]] = []

    def task(config: dict[str, Any]) -> None:
        seen.append((config["name"], config["seed"], job_key_locations().of("seed")))

    compose_and_run(task, ["recipe=lenet,neuron", "-m", "seed=1,2"])
    points = [("lenet", 1), ("lenet", 2), ("neuron", 1), ("neuron", 2)]
    assert seen == [(name, seed, f"command line (seed={seed})") for name, seed in points]


def test_a_sweep_with_one_wrong_point_starts_none() -> None:
    with pytest.raises(UserError, match=r"command line \(seed=x\)"):
        compose_and_run(lambda config: pytest.fail("it ran"), ["-m", "seed=1,x"])


def test_a_point_that_a_further_check_refuses_is_named_with_a_way_to_train_the_others() -> None:
    def check(config: dict[str, Any], overrides: list[str]) -> None:
        if config["seed"] == 2:
            raise UserError("too small", "Take more")

    with pytest.raises(UserError) as caught:
        compose_and_run(lambda config: pytest.fail("it ran"), ["-m", "recipe=neuron", "seed=1,2"], "", check)
    assert caught.value.problem == "nothing was trained, as the point seed=2 cannot be: too small"
    assert caught.value.hint.startswith("Take more. Or leave it out; hydra/sweeper=ray sweep.impossible=skip")
    with pytest.raises(UserError, match=r"^too small\. Take more"):
        compose_and_run(lambda config: pytest.fail("it ran"), ["-m", "recipe=neuron", "seed=2"], "", check)


@pytest.mark.parametrize(
    ("flag", "way"), [("--info", "--info all recipe=neuron"), ("--cfg", "--cfg job recipe=neuron")]
)
def test_a_flag_that_takes_an_override_for_its_argument_says_so(flag: str, way: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_and_run(lambda config: pytest.fail("it ran"), [flag, "recipe=neuron"])
    assert caught.value.problem.startswith(f"{flag} takes recipe=neuron for what it shows, which is one of ")
    assert caught.value.hint == f"Say it: {way}"


@pytest.mark.parametrize(
    "override",
    [
        "evaluation=[{_target_: x}]",
        "model=[[a]]",
        "optimizer=[1]",
        "data=null",
        "trainer=1",
        "recipe=[{a: 1}]",
    ],
)
@pytest.mark.parametrize("more", [[], ["-m", "seed=0,1"]])
def test_a_group_that_is_given_no_file_is_one_line(override: str, more: list[str]) -> None:
    group = override.partition("=")[0]
    with pytest.raises(UserError, match=f"{group} takes the name of a file of conf/{group}/"):
        compose_and_run(lambda config: pytest.fail("it ran"), [*more, override])


def test_a_refusal_inside_one_point_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def task(config: dict[str, Any]) -> None:
        seen.append(config["seed"])
        if config["seed"] == 1:
            raise UserError("too small", "Take more")

    with pytest.raises(UserError, match=r"1 of 2 jobs failed: too small\. Take more"):
        compose_and_run(task, ["-m", "seed=1,2"])
    assert seen == [1, 2] and "error: job 1: too small. Take more\n" in capsys.readouterr().err


def test_a_bug_of_the_task_stays_a_bug() -> None:
    def task(config: dict[str, Any]) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        compose_and_run(task, ["recipe=neuron"])


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["recipe=lent"], ["Did you mean lenet?"]),
        (["--cfg", "job", "recipe=lent"], ["Did you mean lenet?"]),
        (["--cfg", "job", "--resolve", "seed=${no}"], ["${no} leads to nothing"]),
        (["-m", "seed=[1"], ["cannot be read"]),
        (["-m", "model.num_filtrs=1,2"], ["Did you mean model.num_filters?"]),
        (["-m", "optimizer.lr=interval(0,1)"], ["needs a sweeper that searches", "hydra/sweeper=ray"]),
        (["-m", "sweep=asha", "seed=1,2"], ["sweep=asha needs a sweeper", "hydra/sweeper=ray"]),
        (["optimizer.lr=interval(0,1)"], ["optimizer.lr=interval(0,1) is a sweep", "Add -m"]),
        (["seed=range(3)"], ["seed=range(3) is a sweep", "Add -m"]),
        (["--bogus"], ["--bogus", "--help"]),
        (["model.num_classes=${data.nam}"], ["Did you mean ${data.name}?"]),
        (["hydra.foo=1"], ["Hydra has no 'hydra.foo'"]),
    ],
)
def test_refusals_are_user_errors(argv: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        compose_and_run(lambda config: pytest.fail("it ran"), argv)
    for part in parts:
        assert part in str(caught.value)


def test_cfg_job_shows_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    with pytest.raises(SystemExit):
        compose_and_run(
            lambda config: pytest.fail("it ran"), ["--cfg", "job", "--resolve", "recipe=neuron", "seed=7"]
        )
        sys.exit(0)  # Hydra returns after some answers and exits after others
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["seed"] == 7 and shown["model"]["num_classes"] == 10 and "hydra" not in shown


def test_help_names_recipes_groups_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        compose_and_run(lambda config: pytest.fail("it ran"), ["--help"], "What it does.")
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and shown.startswith("What it does.")
    for part in ("recipe=lenet ", " convolutional/lenet,", "--cfg job", "-sc install=bash"):
        assert part in shown


@pytest.mark.parametrize(
    ("word", "before", "some"),
    [
        ("rec", [], ["recipe="]),
        ("recipe=", [], ["recipe=lenet", "recipe=neuron"]),
        ("model=f", [], ["model=feedforward/neuron", "model=feedforward/perceptron"]),
        ("model.num_f", ["recipe=lenet"], ["model.num_filters="]),
        ("model.num_f", ["recipe=neuron"], []),
        ("trainer.max_epochs=", ["recipe=lenet", "trainer.max_epochs=3"], ["trainer.max_epochs=3"]),
        ("+task.label", [], ["+task.label_smoothing="]),
        ("data.fields.image.u", ["recipe=broken", "-m"], ["data.fields.image.units="]),
        ("", [], ["model.", "model=", "seed=", "trainer."]),
        ("zzz", [], []),
    ],
)
def test_completion(word: str, before: list[str], some: list[str]) -> None:
    found = candidates(word, before)
    assert set(some) <= set(found) and all(candidate.startswith(word) for candidate in found)
    assert bool(found) is bool(some)


def test_bash_completes_a_line_as_a_user_types_it() -> None:
    program = f"""
        cd {ROOT}; PATH={Path(sys.executable).parent}:$PATH
        eval "$(python -m pipelines.train -sc install=bash)"
        COMP_LINE='python -m pipelines.train recipe=neuro'; COMP_POINT=${{#COMP_LINE}}
        COMP_WORDS=(python -m pipelines.train recipe = neu); COMP_CWORD=5
        _trainyard_complete; echo "<${{COMPREPLY[*]}}>"
        COMP_LINE='python -m pipelines.train recipe=neuron model.num_c'; COMP_POINT=${{#COMP_LINE}}
        _trainyard_complete; echo "<${{COMPREPLY[*]}}>"
        COMP_LINE='python -m http.server rec'; COMP_POINT=${{#COMP_LINE}}
        _trainyard_complete; echo "<${{COMPREPLY[*]}}>"
    """
    ran = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:3] == ["<neuron>", "<model.num_classes=>", "<>"]
