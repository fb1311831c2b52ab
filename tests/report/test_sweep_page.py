import json
import math
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.errors import UserError
from modules.report.importance import ENOUGH, importances
from modules.report.parallel_coordinates import BOTTOM, TOP, metric_scale, parallel_coordinates
from modules.report.sweep_page import MOST_OPEN, write_sweep_page
from modules.report.sweep_results import SweepResults, axis_of, read_sweep

METRIC = "validation/accuracy"
LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


class Ledger:
    """Writes a sweep's ledger line by line."""

    def __init__(self, folder: Path, mode: str = "max", overrides: tuple[str, ...] = ()) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._time_s = 1.7e9
        self.write("sweep", identity="ab" * 32, overrides=list(overrides), metric=METRIC, mode=mode)

    def write(self, event: str, **values: Any) -> None:
        self._time_s += 1
        with (self.folder / "ledger.jsonl").open("a") as file:
            file.write(json.dumps({"event": event, **values, "time_s": self._time_s}) + "\n")

    def trial(self, number: int, curve: list[float], status: str, reason: str = "", **point: str) -> None:
        """One whole trial; a key's dots are written as underscores twice."""
        keys = {key.replace("__", "."): text for key, text in point.items()}
        self.write("asked", trial=number, point=keys, identity=f"{number:064x}")
        if status == "REFUSED":
            self.write("refused", trial=number, reason=reason)
            return
        self.write("started", trial=number, attempt=1, node="127.0.0.1")
        for epoch, value in enumerate(curve, 1):
            self.write(
                "report",
                trial=number,
                epoch=epoch,
                step=epoch * 100,
                metrics={METRIC: value},
                decision="continue",
            )
        if status != "RUNNING":
            value = curve[-1] if curve and status != "FAILED" else None
            self.write("ended", trial=number, status=status, value=value, reason=reason, seconds=1.5)


class Structure(HTMLParser):
    """Every element and address of a page; complains of elements that are closed out of order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "img"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def attributes(self, name: str) -> list[str]:
        return [value for _, found in self.elements if (value := found.get(name)) is not None]


@pytest.fixture
def mixed(tmp_path: Path) -> Ledger:
    """A sweep with a trial of every fate."""
    ledger = Ledger(tmp_path / "sweeps" / "abc", overrides=("recipe=lenet", LR, "model.sizes=[64],[128]"))
    ledger.trial(0, [0.5, 0.8], "FINISHED", optimizer__lr="0.001", model__sizes="[64]")
    ledger.trial(1, [0.6, 0.9], "FINISHED", optimizer__lr="0.01", model__sizes="[128]")
    ledger.trial(2, [0.95], "STOPPED", optimizer__lr="0.02", model__sizes="[64]")
    ledger.trial(3, [0.4], "FAILED", "loss is NaN <script>", optimizer__lr="0.09", model__sizes="[64]")
    ledger.trial(4, [], "REFUSED", "gets 2304 but takes 2300", optimizer__lr="0.0002", model__sizes="[128]")
    ledger.trial(5, [0.7], "RUNNING", optimizer__lr="0.004", model__sizes="[128]")
    ledger.write("lost", trial=5, attempt=1, reason="node died", excused=True)
    ledger.trial(6, [], "REUSED", optimizer__lr="0.005", model__sizes="[64]")
    ledger.write("ended", trial=6, status="REUSED", value=0.85, reason="", seconds=0.0)
    return ledger


def rows(page: str) -> list[str]:
    return re.findall(r'<tr id="trial-(\d+)"', page)


def test_a_sweep_names_its_recipe_and_the_command_that_repeats_it(mixed: Ledger, tmp_path: Path):
    swept = read_sweep(mixed.folder)
    assert swept.recipe == "lenet"
    assert swept.command == (
        "python -m pipelines.train -m hydra/sweeper=ray recipe=lenet "
        "'optimizer.lr=tag(log,interval(1e-4,1e-1))' 'model.sizes=[64],[128]'"
    )
    page = write_sweep_page(mixed.folder).read_text()
    assert "Accuracy 0.9 is the best of 7 trials of lenet" in page
    assert "python -m pipelines.train plan=sweeps/abc/best.yaml" in page
    # Hydra's own sweeper hands over points, not values.
    points = ("seed=0 model.sizes=[64]", "seed=1 model.sizes=[64]")
    launched = Ledger(tmp_path / "launched", overrides=("recipe=a", *points))
    for number in (0, 1):
        launched.trial(number, [0.5], "FINISHED", seed=str(number), model__sizes="[64]")
    assert read_sweep(launched.folder).command == (
        "python -m pipelines.train -m hydra/launcher=ray recipe=a seed=0,1 'model.sizes=[64]'"
    )


def test_a_page_of_every_fate_is_whole_and_safe(mixed: Ledger):
    path = write_sweep_page(mixed.folder)
    assert path == mixed.folder / "index.html"
    page = path.read_text()
    structure = Structure(page)
    assert "<script" not in page and "&lt;script&gt;" in page
    addresses = structure.attributes("href") + structure.attributes("src")
    assert addresses and all(address.startswith("#trial-") for address in addresses)
    identifiers = structure.attributes("id")
    assert len(identifiers) == len(set(identifiers))
    assert {address[1:] for address in addresses} <= set(identifiers)
    assert rows(page) == ["1", "6", "0", "2", "5", "3", "4"]
    assert "Accuracy 0.9 is the best of 7 trials" in page
    for words in ("trained before", "stopped early", "gets 2304 but takes 2300", "(1 lost)", LR):
        assert words in page
    write_sweep_page(mixed.folder)
    assert path.read_text() == page


def test_the_best_ended_well_and_a_population_shows_its_last_point(tmp_path: Path):
    ledger = Ledger(tmp_path / "s", mode="min")
    ledger.trial(0, [0.5], "FINISHED", lr="1")
    ledger.trial(1, [0.1], "STOPPED", lr="2")
    ledger.trial(2, [math.nan], "FINISHED", lr="3")
    ledger.write("asked", trial=3, point={"lr": "4"}, identity="3")
    ledger.write(
        "report",
        trial=3,
        epoch=1,
        step=9,
        metrics={METRIC: 0.4},
        decision={"copy_from": 0, "point": {"lr": "5"}},
    )
    ledger.write("ended", trial=3, status="FINISHED", value=0.3, reason=None, seconds=1.0)
    sweep = read_sweep(ledger.folder)
    assert sweep.best is not None and (sweep.best.number, sweep.best.point) == (3, {"lr": "5"})
    assert [trial.number for trial in sweep.ranked()] == [3, 0, 2, 1]
    write_sweep_page(ledger.folder)


def test_the_hours_of_all_trials_add_up(tmp_path: Path):
    ledger = Ledger(tmp_path / "sweep")
    for number, hours in enumerate(({"cpu_hours": 1.5, "gpu_hours": 0.0}, {"cpu_hours": 0.25}, {})):
        ledger.write("asked", trial=number, point={"seed": f"{number}"}, identity=f"{number:064x}")
        ended = {"status": "FINISHED", "value": 0.5, "reason": "", "seconds": 1.0}
        ledger.write("ended", trial=number, **ended, **hours)
    sweep = read_sweep(ledger.folder)
    assert (sweep.cpu_hours, sweep.gpu_hours) == (1.75, 0.0)
    page = write_sweep_page(ledger.folder).read_text()
    Structure(page)
    assert "1.75 CPU-hours" in page and "GPU-hours" not in page
    assert '<td class="right minor">1.5</td>' in page and '<td class="right minor">–</td>' in page


def test_of_equally_good_trials_the_first_to_end_is_the_best(tmp_path: Path):
    ledger = Ledger(tmp_path / "s")
    for number in (0, 1):
        ledger.write("asked", trial=number, point={"lr": str(number)}, identity=str(number))
    for number in (1, 0):
        ledger.write("ended", trial=number, status="FINISHED", value=0.5, reason="", seconds=1.0)
    sweep = read_sweep(ledger.folder)
    assert sweep.best is not None and sweep.best.number == 1 and sweep.ranked()[0] is sweep.best


def test_a_reused_run_brings_its_curve(tmp_path: Path):
    ledger = Ledger(tmp_path / "sweeps" / "s")
    ledger.trial(7, [], "REUSED", lr="1")
    run = tmp_path / "runs" / f"{7:064x}"[:16]
    run.mkdir(parents=True)
    (run / "history.json").write_text(json.dumps({METRIC: [[100, 0.5], [200, 0.75]]}))
    (trial,) = read_sweep(ledger.folder).trials
    assert (trial.curve, trial.value) == ({1: 0.5, 2: 0.75}, 0.75)


@pytest.mark.parametrize("num_trials", [0, 1, 2, 300])
def test_few_and_many(tmp_path: Path, num_trials: int):
    chance = random.Random(0)
    ledger = Ledger(tmp_path / "s", overrides=(LR,))
    for number in range(num_trials):
        ledger.trial(
            number,
            [chance.random() for _ in range(3)],
            "FINISHED",
            optimizer__lr=str(10 ** -chance.uniform(1, 4)),
        )
    page = write_sweep_page(ledger.folder).read_text()
    Structure(page)
    assert sorted(map(int, rows(page))) == list(range(num_trials))
    assert page.count("<details") == (num_trials > MOST_OPEN)
    assert "NaN" not in page and "nan," not in page


def test_what_a_kill_left_of_the_last_line_is_no_event_and_no_ledger_is_said(tmp_path: Path):
    ledger = Ledger(tmp_path / "s")
    ledger.trial(0, [0.5], "FINISHED", lr="1")
    with (ledger.folder / "ledger.jsonl").open("a") as file:
        file.write('{"event": "asked", "tri')
    assert len(read_sweep(ledger.folder).trials) == 1
    with pytest.raises(UserError, match="no sweep's ledger"):
        write_sweep_page(tmp_path / "nothing")
    with (ledger.folder / "ledger.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="damaged"):
        write_sweep_page(ledger.folder)


@pytest.mark.parametrize(
    ("texts", "given", "expected"),
    [
        (["0.1", "0.001"], LR, (None, True)),
        (["0.1", "0.001"], "optimizer.lr=interval(0.001,0.1)", (None, False)),
        (["100", "1", "10"], "key=100,1,10", (("1", "10", "100"), True)),
        (["32", "64"], "key=32,64", (("32", "64"), False)),
        (["[256,8]", "[64]", "[256]"], "", (("[64]", "[256]", "[256,8]"), False)),
        (["1", None], "", (("1", "–"), False)),
        ([str(number) for number in range(1, 40)], "key=range(1,40)", (None, True)),
    ],
)
def test_scale_of_a_key(texts: list[str | None], given: str, expected: tuple[Any, bool]):
    axis = axis_of("key", texts, given)
    assert (axis.values, axis.log) == expected


def drawn_ends(sweep: SweepResults) -> dict[int, float]:
    """The height at which each trial's line ends."""
    links = re.findall(r'<a href="#trial-(\d+)".*?</a>', parallel_coordinates(sweep), re.S)
    plotted = re.split(r'<a href="#trial-', parallel_coordinates(sweep))[1:]
    ends = [float(re.findall(r'd="M.*?,([\d.]+)"', link)[0]) for link in plotted]
    return dict(zip(map(int, links), ends, strict=True))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_better_lies_above_and_an_outlier_squeezes_nobody(tmp_path: Path, mode: str):
    ledger = Ledger(tmp_path / "s", mode=mode)
    values = [0.5 + 0.01 * number for number in range(20)] + [1e6 if mode == "min" else -1e6]
    for number, value in enumerate(values):
        ledger.trial(number, [value], "FINISHED", lr=str(number))
    sweep = read_sweep(ledger.folder)
    scale = metric_scale(sweep)
    assert (scale.low, scale.high) == (pytest.approx(0.5), pytest.approx(0.69))
    heights = drawn_ends(sweep)
    best, worst = (19, 0) if mode == "max" else (0, 19)
    assert heights[best] == pytest.approx(TOP) and heights[worst] == heights[20] == pytest.approx(BOTTOM)


@pytest.mark.parametrize("num_trials", [ENOUGH - 10, ENOUGH + 50])
def test_what_mattered_is_found(tmp_path: Path, num_trials: int):
    """Accuracy follows from the learning rate, somewhat from the optimizer, not at all from the seed."""
    chance = random.Random(1)
    ledger = Ledger(tmp_path / "s", overrides=(LR,))
    for number in range(num_trials):
        exponent, optimizer = chance.uniform(-4, -1), chance.choice(["sgd", "adamw"])
        value = 0.1 * exponent + (0.03 if optimizer == "sgd" else 0)
        point = {"optimizer__lr": str(10**exponent), "optimizer": optimizer, "seed": str(chance.randrange(4))}
        ledger.trial(number, [value], "FINISHED", **point, model="lenet")
    found = importances(read_sweep(ledger.folder))
    assert found is not None and found.num_trials == num_trials
    assert found.method == ("PED-ANOVA" if num_trials >= ENOUGH else "rank correlation")
    assert next(iter(found.of)) == "optimizer.lr" and found.of["optimizer.lr"] > 0.6
    assert found.of["seed"] < 0.25 and "model" not in found.of
    assert found.method in write_sweep_page(ledger.folder).read_text().replace("Rank", "rank")


def test_importance_of_too_few_or_equal_trials_is_not_made_up(tmp_path: Path):
    ledger = Ledger(tmp_path / "s")
    for number in range(5):
        ledger.trial(number, [0.5], "FINISHED", lr=str(number))
    assert importances(read_sweep(ledger.folder)) is None
    assert "Too few trials" in write_sweep_page(ledger.folder).read_text()
