"""A sweep from its command line: what it is, and every mistake in one line before anything starts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.composition.hydra_loader import load
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Pretrained
from modules.configuration.schema.phases import trainings
from modules.shapes import shape_check
from modules.shapes.make_plan import make_plan, training_code
from modules.sweeps.control.sweep_setup import (
    Sweep,
    _PretrainedFiles,
    check_points,
    draft,
    set_up,
    set_up_points,
)
from modules.sweeps.search import point_plans
from modules.sweeps.search.search_space import overrides_of
from tests.plans import composed_plan

LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the hashes of shards: a sweep is set up without reading one."""
    monkeypatch.chdir(tmp_path)
    splits = {split: {"shards": [{"sha256": split}]} for split in ("train", "validation", "test")}
    for name in ("fashion_mnist", "mnist_digits"):
        folder = tmp_path / "data" / "shards" / name
        folder.mkdir(parents=True)
        (folder / "shards.json").write_text(json.dumps({"splits": splits}))
    return tmp_path


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The configurations whose shapes are really checked."""
    seen: list[dict[str, Any]] = []
    real = shape_check.check_shapes

    def counted(config: dict[str, Any], *others: Any) -> Any:
        seen.append(config)
        return real(config, *others)

    monkeypatch.setattr(shape_check, "check_shapes", counted)
    return seen


def test_a_sweep_says_what_it_is() -> None:
    sweep = set_up(["recipe=neuron", "sweep=random", LR, "seed=0,1"])
    assert sweep.folder == Path("sweeps") / sweep.identity[:16]
    assert (sweep.metric, sweep.mode, sweep.max_epochs) == ("validation/accuracy", "max", 10)
    assert sweep.settings.search == "random" and sweep.settings.num_trials == 20
    assert sweep.base.name == "neuron" and sweep.base.cost.num_parameters and sweep.base.sweep is None
    assert sweep.overrides == ["recipe=neuron", "sweep=random", LR, "seed=0,1"]
    assert not sweep.folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["recipe=lenet", "model.num_filters=[8,16],[4]", "optimizer=sgd,adamw", "optimizer.lr=0.1,0.2"],
        ["recipe=lenet,perceptron", "seed=0,1", "task.label_smoothing=0.1"],
        [
            "recipe=lenet",
            "~optimizer.weight_decay",
            "model.dropout=choice(0.1,0.2)",
            "++model.pooling=max,average",
        ],
        ["recipe=neuron", "schedule=glob(*)", "data=fashion_mnist,mnist_digits"],
    ],
)
def test_a_points_plan_is_that_of_its_command_line(overrides: list[str]) -> None:
    sweep = set_up(overrides)
    for point in sweep.space.grid():
        alone = [*sweep.space.fixed, *overrides_of(point)]
        assert sweep.plan_of(point) == make_plan(compose(alone)), alone


@pytest.mark.slow
def test_the_same_sweep_is_the_same_folder() -> None:
    overrides = ["recipe=neuron", "sweep=random", LR]
    first = draft(overrides).search
    same = (
        ["sweep.num_trials=40"],
        ["sweep.max_concurrent=1"],
        ["sweep.stack=false"],
        ["runtime.cpus_per_worker=0.5"],
        ["tracking=none"],
    )
    other = (
        ["sweep.seed=1"],
        ["seed=1"],
        ["sweep=asha"],
        ["sweep.metric=validation/loss"],
        ["optimizer.weight_decay=0,1e-3"],
        ["trainer.max_epochs=3"],
    )
    assert all(draft([*overrides, *more]).search == first for more in same)
    others = [json.dumps(draft([*overrides, *more]).search) for more in other]
    assert len({json.dumps(first), *others}) == 1 + len(other)
    assert set_up(overrides).identity == set_up([*overrides, *same[0]]).identity


def test_other_shards_make_another_sweep(storage: Path) -> None:
    first = set_up(["recipe=neuron", "seed=0,1"]).identity
    path = storage / "data/shards/fashion_mnist/shards.json"
    path.write_text(path.read_text().replace('"train"}', '"other"}'))
    assert set_up(["recipe=neuron", "seed=0,1"]).identity != first


REFUSED = [
    (["seed=1,x"], "seed: 'x'"),
    (["model.num_filtrs=[8],[16]"], "Did you mean model.num_filters?"),
    (["sweep=random", "optimizer.ler=interval(0,1)"], "Did you mean optimizer.lr?"),
    (["sweep=random", "optimizer=interval(0,1)"], "optimizer is the choice of a file"),
    (["sweep=random", "model.num_filters=interval(1,8)"], "model.num_filters is a list"),
    (["sweep=random", "model=interval(1,8)"], "model is the choice of a file"),
    (["sweep=random", "data.fields=interval(1,8)"], "data.fields is a mapping"),
    (["sweep=random", "model.pooling=interval(1,8)"], "model.pooling is 'max'"),
    (["sweep=random", "trainer.batch_size=interval(16,64)"], r"=int\(interval\(16,64\)\)"),
    ([LR], "there is no grid of it. Add sweep=random"),
    (["sweep=random", "optimizer.lr=tag(log,interval(0,1))"], "no logarithm"),
    (["sweep=random", "sweep.num_trials=0", LR], "sweep.num_trials: 0 is below 1"),
    (["sweep=random", "sweep.num_trials=null", LR], "sweep.num_trials is null"),
    (["sweep=optuna", "sweep.num_trials=null", "seed=1,2"], "sweep.num_trials is null"),
    (["sweep=asah", "seed=1,2"], "Did you mean asha?"),
    (["sweep.metric=accuracy", "seed=1,2"], "Did you mean validation/accuracy?"),
    (["expected.metric=f1", "seed=1,2"], "no evaluator measures 'f1'"),
    (["sweep.seed=1,2"], "sweep.seed changes no result"),
    (["runtime.num_threads=1,2"], "runtime.num_threads changes no result"),
    (["sweep=asha", "trainer.max_epochs=1", LR], "leaves asha nothing to stop early"),
    (["sweep=asha", "sweep.grace_epochs=12", LR], "leaves asha nothing to stop early"),
    (["sweep=asha", "trainer.max_epochs=3,6"], "trainer.max_epochs is 3, 6"),
    (["sweep=pbt", "model.dropout=interval(0,0.5)"], "numbers of the optimizer"),
    (["sweep=pbt", LR, "seed=0,1"], "seed cannot change while a model is trained"),
    (["sweep=pbt", LR, "optimizer=sgd,adamw"], "optimizer cannot change"),
    (["sweep=pbt", LR, "model.kernel_size=3,5"], "model.kernel_size cannot change"),
    (["sweep=pbt", "sweep.num_trials=3", LR], "sweep.num_trials=4 or more"),
    (["sweep=pbt", "trainer.max_epochs=1", LR], "leaves pbt no exchange"),
    (["sweep=pbt", "sweep.search=optuna", LR], "optuna has no say"),
    (["runtime.cpus_per_worker=4096", "seed=1,2"], "asks for 4096 CPUs and this machine has"),
    (
        ["runtime=ray", "runtime.num_workers=4096", "trainer.batch_size=4096", "seed=1,2"],
        "asks for 4096 CPUs .* x runtime.num_workers=4096",
    ),
    (["data.name=nothing", "seed=1,2"], "data/shards/nothing/shards.json is not there"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED, ids=[" ".join(given) for given, _ in REFUSED])
def test_a_mistake_is_one_line(overrides: list[str], message: str, storage: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        set_up(["recipe=lenet", *overrides])
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in storage.iterdir()) == ["data"]


def test_gpus_that_are_not_there_are_refused() -> None:
    import torch

    wanted = torch.cuda.device_count() + 1
    with pytest.raises(UserError, match=f"asks for {wanted} GPU"):
        set_up(["recipe=neuron", "seed=1,2", f"runtime.gpus_per_worker={wanted}"])
    set_up(["recipe=neuron", "seed=1,2", f"runtime.gpus_per_worker={wanted}", "runtime.address=host:1"])


def test_a_dataset_without_validation_is_refused(storage: Path) -> None:
    (storage / "data/shards/fashion_mnist/shards.json").write_text('{"splits": {"train": {"shards": []}}}')
    with pytest.raises(UserError, match="fashion_mnist has no validation split"):
        set_up(["recipe=neuron", "seed=0,1"])


def test_impossible_points_are_all_named() -> None:
    overrides = ["recipe=lenet", "model.kernel_size=3,19,21", "optimizer.lr=0.1,0.2"]
    with pytest.raises(UserError, match=r"4 of 6 points are impossible: model.kernel_size=19 ") as caught:
        set_up(overrides)
    for part in ("a window of kernel_size=19 does not fit", "model.kernel_size=21 optimizer.lr=0.2"):
        assert part in str(caught.value)
    assert str(caught.value).endswith("sweep.impossible=skip trains the others")


def test_impossible_points_are_skipped_where_that_is_asked_for() -> None:
    sweep = set_up(["recipe=lenet", "model.kernel_size=19,3", "sweep.impossible=skip"])
    assert sweep.base.model["kernel_size"] == 3
    with pytest.raises(UserError, match="a window of kernel_size=19"):
        sweep.plan_of({"model.kernel_size": "19"})
    with pytest.raises(UserError, match="2 of 2 points are impossible") as caught:
        set_up(["recipe=lenet", "model.kernel_size=19,20", "sweep.impossible=skip"])
    assert "skip trains" not in str(caught.value)


@pytest.mark.parametrize("sweep", ["random", "optuna"])
def test_the_ends_of_an_interval_that_reaches_shapes_are_checked(sweep: str) -> None:
    with pytest.raises(UserError, match="a window of kernel_size="):
        set_up(["recipe=lenet", f"sweep={sweep}", "model.kernel_size=int(interval(3,19))"])
    with pytest.raises(UserError, match="dropout"):
        set_up(["recipe=lenet", f"sweep={sweep}", "model.dropout=interval(0,2)"])


def test_what_reaches_no_shape_is_checked_at_its_ends_alone(checks: list[dict[str, Any]]) -> None:
    overrides = ["recipe=lenet", "sweep=random", "sweep.num_trials=200", LR, "seed=range(100)"]
    set_up([*overrides, "model.dropout=interval(0,0.5)", "model.num_filters=[4],[8]"])
    assert len(checks) == 4  # both ends of the numbers, for either number of filters
    drawn = {(config["model"]["dropout"], config["optimizer"]["lr"]) for config in checks}
    assert drawn == {(0, 0.0001), (0.5, 0.1)}


def test_a_real_number_that_reaches_shapes_is_checked_at_every_point(checks: list[dict[str, Any]]) -> None:
    """A rate of dropout that cannot be built at one end: no point between is taken for granted."""
    with pytest.raises(UserError, match=r"1 of 3 points are impossible: model.dropout=1.5"):
        set_up(["recipe=lenet", "model.dropout=0.1,1.5,0.2"])
    assert len(checks) == 3  # a point is checked once


def test_hydra_composes_each_choice_of_files_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a tenth of a second: a thousand points would take minutes."""
    loaded = []

    def counted(overrides: list[str], conf: Path) -> Any:
        loaded.append(overrides)
        return load(overrides, conf)

    monkeypatch.setattr(point_plans, "load", counted)
    given = ["recipe=neuron", "sweep=random", "sweep.num_trials=100", LR, "seed=range(50)"]
    drafted = draft([*given, "optimizer=sgd,adamw"])
    assert len(drafted.configs) == 100
    assert sorted(overrides[-1] for overrides in loaded) == ["optimizer=adamw", "optimizer=sgd"]


def test_other_code_of_a_phase_is_another_sweep() -> None:
    drafted = draft(["recipe=dbn_digits", "sweep=grid", "seed=0,1"])
    codes = {training_code(training).fingerprint for training in trainings(drafted.config)}
    assert len(codes) == 2, "both layers learn by the same code, and the whole net by another"
    assert drafted.search["code"]["training"] == sorted(codes)


def test_a_point_without_the_teacher_that_its_task_needs_is_impossible_alone() -> None:
    drafted = draft(["recipe=student", "sweep=grid", "teacher=[],[build/train/lenet]"])
    with pytest.raises(
        UserError, match=r"1 of 2 points are impossible: teacher=\[\]: the task Distillation has"
    ):
        check_points(drafted)


def test_listed_jobs_are_points_of_a_sweep() -> None:
    jobs = [["recipe=neuron", f"seed={seed}", "optimizer.lr=0.1"] for seed in (3, 1)]
    sweep = set_up_points(jobs)
    assert sweep.space.points == ({"seed": "3"}, {"seed": "1"})
    assert sweep.space.fixed == ("recipe=neuron", "optimizer.lr=0.1")
    assert sweep.plan_of({"seed": "1"}) == make_plan(compose(jobs[1]))
    with pytest.raises(UserError, match="hydra/launcher=ray runs the points that are listed"):
        set_up_points([[*job, "sweep=random"] for job in jobs])
    with pytest.raises(UserError, match=r"1 of 2 points are impossible: model\.kernel_size=19"):
        set_up_points([["recipe=lenet", f"model.kernel_size={size}"] for size in (3, 19)])


def test_everything_but_shapes_is_said_without_torch() -> None:
    import subprocess
    import sys

    program = """
import sys
from modules.configuration.errors import UserError
from modules.configuration.composition.hydra_loader import load
from modules.sweeps.control.sweep_setup import set_up
for overrides in %r:
    try:
        set_up(["recipe=lenet", *overrides])
    except UserError:
        continue
    raise SystemExit(f"{overrides} was not refused")
print(*{"torch", "ray", "optuna", "mlflow"} & set(sys.modules))
"""
    given = [overrides for overrides, _ in REFUSED if "gpus" not in str(overrides)]
    root = str(Path(__file__).parents[3])
    ran = subprocess.run(
        [sys.executable, "-c", program % given],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_a_sweep_is_plain_enough_to_name(storage: Path) -> None:
    """Its identity hangs on no path and no order of dictionaries."""
    assert isinstance(set_up(["recipe=neuron", "seed=0,1"]), Sweep)
    text = json.dumps(draft(["recipe=neuron", "seed=0,1"]).search)
    assert str(storage) not in text


def test_what_trials_begin_from_is_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def moving(config: dict[str, Any], shards: Path) -> Pretrained:
        asked.append(config["init_from"])
        return Pretrained(Path(f"{len(asked)}.pt"), str(len(asked)))

    monkeypatch.setattr("modules.registry.pretrained.find_pretrained", moving)
    files = _PretrainedFiles(tmp_path)
    plan = composed_plan("recipe=neuron", "init_from=lenet@champion")
    first, second = files.added_to(plan), files.added_to(plan.changed(seed=3))
    assert first.pretrained == second.pretrained and asked == ["lenet@champion"]
    assert files.added_to(plan.changed(init_from="perceptron@champion")).pretrained != first.pretrained
    fresh = plan.changed(init_from=None)
    assert files.added_to(fresh) is fresh and len(asked) == 2
