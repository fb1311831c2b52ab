"""Studies: means and spreads are those of the trials, each at its place; what has no value is told."""

import json
import shlex
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from modules.configuration.errors import UserError
from modules.configuration.schema.execution_settings import ChartSettings
from modules.report.charts import plot
from modules.report.page import render
from modules.report.reading import read_recipes
from modules.report.studies import read_studies, study
from modules.report.sweep_results import SweepResults, Trial, read_sweep
from tests.report.test_page import Page
from tests.report.test_sweep_page import Ledger

SVG = "{http://www.w3.org/2000/svg}"
AXES = {"trainer.samples_per_class": ["1", "10", "100", "null"], "model.hidden_sizes": ["[64, 64]", "[8]"]}


def chart(**changes) -> ChartSettings:
    return ChartSettings(
        **{
            "title": "Few labels",
            "caption": "More are better.",
            "x": "trainer.samples_per_class",
            "series": "model.hidden_sizes",
            "log_x": True,
            "labels": {"[64,64]": "deep", "null": "of a series, not across"},
            **changes,
        }
    )


def swept(axes: dict[str, list[str]] = AXES, num_seeds: int = 3) -> SweepResults:
    """Every point of the axes and seeds; a step of the first adds 0.1, of the second 0.5, a seed 0.01."""
    trials = []
    for places in product(*(range(len(values)) for values in axes.values()), range(num_seeds)):
        *across, seed = places
        point = {key: values[place] for (key, values), place in zip(axes.items(), across, strict=True)}
        value = sum(scale * place for scale, place in zip((0.1, 0.5), across, strict=False)) + 0.01 * seed
        trial = Trial(len(trials), point | {"seed": str(seed)}, "i", "FINISHED", value)
        trial.metrics = {"validation/accuracy": value, "validation/loss": -value}
        trials.append(trial)
    return SweepResults("few", [], "validation/accuracy", "max", trials, 0.0, 1.0)


def test_means_spreads_and_places() -> None:
    found = study(swept(), chart())
    assert found and [one.name for one in found.chart.series] == ["deep", "[8]"]
    assert found.across == [(1, "1"), (10, "10"), (100, "100"), (1000, "all")]
    deep, small = found.chart.series
    assert [x for x, _ in deep.points] == [1, 10, 100, 1000]
    assert [y for _, y in deep.points] == pytest.approx([0.01, 0.11, 0.21, 0.31])
    assert [y for _, y in small.points] == pytest.approx([0.51, 0.61, 0.71, 0.81])
    assert found.spreads[0][1] == pytest.approx((10, 0.1, 0.12))
    label, (cell, _) = found.rows[3]
    assert label == "all" and cell and (cell.low, cell.count) == (pytest.approx(0.3), 3)
    assert found.num_scored == found.num_trials == 24
    assert (found.chart.x, found.chart.y) == ("samples per class", "validation accuracy")


def test_the_page_says_where_one_of_two_series_wins() -> None:
    sweep = swept()
    small = [trial for trial in sweep.trials if trial.point["model.hidden_sizes"] == "[8]"]
    for trial, value in zip(small, [0.01, 0.02, 0.03, 0.05, 0.06, 0.07] + [0.9] * 6, strict=True):
        trial.value = value
    found = study(sweep, chart())
    assert found and found.verdict == (
        "“deep” is above “[8]” in every trial at 10; “[8]” is above “deep” in every trial at 100 and all; "
        "their trials lie among each other at 1."
    )
    alike = study(swept(num_seeds=3), chart(series="seed"))
    assert alike and alike.verdict == ""


def test_what_did_not_end_has_no_value_and_is_told() -> None:
    sweep = swept()
    for trial in sweep.trials:
        if trial.point["trainer.samples_per_class"] == "1" or trial.number == 23:
            trial.status = "FAILED" if trial.number % 2 else "STOPPED"
    found = study(sweep, chart())
    assert found and [label for label, _ in found.rows] == ["10", "100", "all"]
    assert (found.num_scored, found.num_trials) == (17, 24)
    plotted = plot(found.chart, found.across, found.spreads)
    assert plotted and ">1<" not in plotted
    for trial in sweep.trials:
        trial.value = None
    assert study(sweep, chart()) is None


def test_another_metric_is_the_last_reported() -> None:
    found = study(swept(), chart(y="validation/loss"))
    assert found and found.chart.series[0].points[1] == pytest.approx((10, -0.11))


def test_another_metric_of_a_run_trained_before_is_in_its_folder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "sweeps" / "few")
    ledger.trial(0, [], "REUSED", depth="1")
    ledger.write("ended", trial=0, status="REUSED", value=0.8, reason="", seconds=0.0)
    run = tmp_path / "runs" / ("0" * 16)
    run.mkdir(parents=True)
    history = {"validation/accuracy": [[5, 0.7], [10, 0.8]], "validation/loss": [[5, 0.4], [10, 0.3]]}
    (run / "history.json").write_text(json.dumps(history))
    sweep = read_sweep(ledger.folder)
    assert sweep.trials[0].curve == {1: 0.7, 2: 0.8}
    found = study(sweep, chart(x="depth", series=[], y="validation/loss"))
    assert found and found.chart.series[0].points == [(1, 0.3)]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"series": []}, [""]),
        ({"series": "seed"}, ["seed 0", "seed 1", "seed 2"]),
        (
            {"series": ["model.hidden_sizes", "seed"], "labels": {"0": "first"}},
            ["[64, 64], first", "[64, 64], seed 1"],
        ),
    ],
)
def test_series(changes: dict, names: list[str]) -> None:
    found = study(swept(), chart(**changes))
    assert found and [one.name for one in found.chart.series][: len(names)] == names


@pytest.mark.parametrize(
    ("values", "log", "across"),
    [
        (["0", "5", "10", "null"], True, [(0, "0"), (5, "5"), (10, "10"), (15, "all")]),
        (["4", "null"], True, [(4, "4"), (8, "all")]),
        (["[64]", "[8]"], False, [(0, "[64]"), (1, "[8]")]),
        (["3", "1"], False, [(1, "1"), (3, "3")]),
        (["null"], False, [(0, "all")]),
    ],
)
def test_places(values: list[str], log: bool, across: list[tuple[float, str]]) -> None:
    found = study(swept({"depth": values, "model.hidden_sizes": ["[8]"]}), chart(x="depth", log_x=log))
    assert found and found.across == across
    assert plot(found.chart, found.across, found.spreads)


def test_spreads_are_drawn_from_least_to_greatest() -> None:
    found = study(swept(), chart())
    assert found
    root = ElementTree.fromstring(plot(found.chart, found.across, found.spreads) or "")
    for group, colour in zip(root.findall(f"{SVG}g"), ("s0", "s1"), strict=True):
        circles = [float(circle.get("cy", 0)) for circle in group.iter(f"{SVG}circle")]
        spreads = [line for line in group.iter(f"{SVG}line") if line.get("class") == "spread"]
        assert group.get("class") == colour and len(circles) == len(spreads) == 4
        for height, line in zip(circles, spreads, strict=True):
            assert float(line.get("y1", 0)) > height > float(line.get("y2", 0))
    assert [text.text for text in root.iter(f"{SVG}text") if "name-of" in text.get("class", "")] == [
        "[8]",
        "deep",
    ]


def write(build: Path, name: str, settings: dict, points: list[dict[str, str]]) -> None:
    (build / "plan/charts").mkdir(exist_ok=True)
    (build / "plan/charts" / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    about = {"event": "sweep", "overrides": [], "metric": "validation/accuracy", "mode": "max"}
    events: list[dict] = [about]
    for number, point in enumerate(points):
        events.append({"event": "asked", "trial": number, "point": point, "identity": "i"})
        ended = {"event": "ended", "trial": number, "status": "FINISHED", "reason": "", "seconds": 1.0}
        events.append(ended | {"value": number / 10})
    (build / "sweep" / name).mkdir(parents=True)
    lines = [json.dumps(event | {"time_s": 1.0}) for event in events]
    (build / "sweep" / name / "ledger.jsonl").write_text("\n".join(lines) + "\n")


def test_the_page_shows_studies_and_names_those_to_come(build: Path) -> None:
    settings = vars(chart(x="depth", series="seed", title="Depth & width"))
    write(build, "deep", settings, [{"depth": depth, "seed": seed} for depth in "123" for seed in "01"])
    write(build, "later", settings, [])
    page = Page(render(read_recipes(build), read_studies(build)))
    assert page.text.count("Depth & width") == 2, "in the index and above the chart"
    assert "0.5000" in page.text and "mean, least and greatest of 6 trials" in page.text
    command = next(line for line in page.text.splitlines() if "1 more study: later" in line)
    assert shlex.split(command.rpartition(":")[2]) == ["dvc", "repro", "sweep@later"]
    assert any((svg["aria-label"] or "").startswith("Depth & width") for svg in page.all("svg"))


def test_a_chart_that_cannot_be_read_is_named(build: Path) -> None:
    write(build, "deep", {"title": "no axes"}, [])
    with pytest.raises(UserError, match=r"charts/deep\.yaml"):
        read_studies(build)
