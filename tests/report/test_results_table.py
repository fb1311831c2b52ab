"""The closing table, on the terminal and as Markdown."""

import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from modules.configuration.errors import UserError
from modules.report import numbers
from modules.report.page import render
from modules.report.reading import read_recipes
from modules.report.results_table import closing, markdown, next_commands


def shown(build: Path, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    closing(read_recipes(build), build / "report/index.html", console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal(trained: Path) -> None:
    text = shown(trained)
    for recipe in read_recipes(trained):
        line = next(line for line in text.splitlines() if line.strip().startswith(recipe.name))
        relation = "≥" if recipe.reached else "<"
        mark = "✓" if recipe.reached else "✗"
        assert f"{recipe.score:.4f} {relation} {recipe.expected:g} {mark}" in line
        seconds = "4.0" if recipe.name == "net" else "1.5"  # with its phase
        for number in (f"{recipe.num_parameters:,}", f"{recipe.multiply_adds:,}", seconds):
            assert number in line
        assert line.rstrip().endswith("2 champion" if recipe.name == "net" else " 2")
    assert "make dashboard" in text and "index.html" in text
    assert "model=net@champion" in text, "a prediction by a champion that exists"


def with_worth(build: Path, phase: bool = True) -> None:
    """What a run was worth in the summary of `net` alone, as another version trained the rest."""
    worth = {"goodput": 0.75, "mfu": 0.0312, "cpu_hours": 1.5, "gpu_hours": 0.0, "money": 20.0}
    path = build / "train/net/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | worth))
    if phase:
        path = build / "train/net/phases.json"
        phases = json.loads(path.read_text())
        phases["layer0"]["summary"] |= worth | {"cpu_hours": 0.25, "money": 1.25}
        path.write_text(json.dumps(phases))


def test_what_training_has_cost_stands_beside_the_score(build: Path) -> None:
    with_worth(build)
    for width in (80, 120):
        lines = shown(build, width).splitlines()
        head = next(line for line in lines if "CPU-hours" in line)
        assert "money" in head and "GPU-hours" not in head
        assert ("multiply-adds" in head) == (width > 100)
        net = next(line for line in lines if line.strip().startswith("net"))
        assert {"1.75", "21.25"} <= set(net.split()), "with its phase"
        other = next(line for line in lines if line.strip().startswith("line"))
        assert other.split().count("–") == 2
    table = markdown(read_recipes(build)).splitlines()
    assert "| seconds | CPU-hours | money | version |" in table[0]
    assert any("| 1.75 | 21.25 | 2 champion |" in line for line in table)
    assert any("| – | – | 2 |" in line for line in table)


def test_the_page_shows_what_a_run_was_worth(build: Path) -> None:
    with_worth(build)
    page = render(read_recipes(build))
    assert '<th scope="col" class="right minor">CPU-hours</th>' in page
    assert '<td class="right minor">1.75</td>' in page and '<td class="right minor">–</td>' in page
    assert "75.0 % of the wall time in steps that count" in page
    assert "3.1 % of the device" in page


def test_hours_of_a_phase_that_are_not_known_make_the_whole_unknown(build: Path) -> None:
    with_worth(build, phase=False)
    net = next(one for one in read_recipes(build) if one.name == "net")
    assert net.training is not None
    assert net.training.cpu_hours == 1.5 and net.training.in_all("cpu_hours") is None
    assert "CPU-hours" not in shown(build)


def test_a_summary_whose_hours_are_none_is_refused(build: Path) -> None:
    path = build / "train/net/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cpu_hours": "many"}))
    with pytest.raises(UserError, match="something else where a number must be"):
        read_recipes(build)


def test_commands_stay_whole_on_a_narrow_terminal(trained: Path) -> None:
    lines = shown(trained, width=40).splitlines()
    assert any(line.endswith("-m recipe=net optimizer.lr=0.0005,0.001,0.002") for line in lines)


def test_no_prediction_without_a_champion(build: Path) -> None:
    shutil.rmtree(build / "promote")
    assert [meaning for meaning, _ in next_commands(read_recipes(build))] == [
        "dashboard",
        "override",
        "sweep",
    ]


def test_hostile_recipe_name_is_quoted_in_commands(build: Path) -> None:
    (build / "plan/net.yaml").rename(build / "plan/zz; rm -rf ~ [red].yaml")
    command = dict(next_commands(read_recipes(build)))["override"]
    assert shlex.split(command)[3] in ("recipe=line", "recipe=zz; rm -rf ~ [red]")
    assert "zz; rm -rf ~ [red]" in shown(build, width=120)


def test_markdown(trained: Path) -> None:
    lines = markdown(read_recipes(trained)).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("| recipe | data | test accuracy | expected |")
    assert {line.count("|") for line in lines} == {9}
    assert re.search(r"\| net \| Stripes & blobs \| 0\.\d{4} [✓✗] \| 0\.7 \|", lines[3])


def test_markdown_of_hostile_titles(build: Path) -> None:
    plan = yaml.safe_load((build / "plan/net.yaml").read_text())
    plan["data"]["title"] = "a | b\n<script>[x](y)`"
    (build / "plan/net.yaml").write_text(yaml.safe_dump(plan))
    text = markdown(read_recipes(build))
    assert len(text.splitlines()) == 4
    assert r"a \| b \<script\>\[x\](y)\`" in text


@pytest.mark.parametrize(
    ("function", "value", "written"),
    [
        (numbers.count, 421642, "421,642"),
        (numbers.count, None, "–"),
        (numbers.rounded, 421642, "422 k"),
        (numbers.rounded, 999_999, "1 M"),
        (numbers.rounded, 4.1e9, "4.1 G"),
        (numbers.rounded, 12, "12"),
        (numbers.percent, 0.183, "18.3 %"),
        (numbers.hours, None, "–"),
        (numbers.hours, 0.0, "0"),
        (numbers.hours, 0.0001, "< 0.001"),
        (numbers.hours, 1234.5, "1,234"),
        (numbers.money, None, "–"),
        (numbers.money, 0.01234, "0.0123"),
        (numbers.money, 1234.5, "1,234.50"),
        (numbers.percent, 0.99999, "> 99.9 %"),
        (numbers.percent, 1, "100.0 %"),
        (numbers.duration, 8.44, "8.4 s"),
        (numbers.duration, 125, "2 min 05 s"),
        (numbers.duration, 3599.7, "1 h 00 min"),
        (numbers.duration, 12000, "3 h 20 min"),
        (numbers.tick_labels, [0.8, 0.85, 0.9], ["0.80", "0.85", "0.90"]),
        (numbers.tick_labels, [0, 50_000], ["0", "50 k"]),
        (numbers.tick_labels, [100_000, 100_200, 100_400], ["100 k", "100.2 k", "100.4 k"]),
        (numbers.tick_labels, [-12_500, -12_000, -500], ["-12.5 k", "-12 k", "-500"]),
        (numbers.tick_labels, [-4e-6, -2e-6, 0], ["-4e-6", "-2e-6", "0"]),
        (numbers.moment, "2025-11-23T13:40:00+01:00", "2025-11-23 12:40 UTC"),
        (numbers.moment, 0, "1970-01-01 00:00 UTC"),
        (numbers.moment, "yesterday", "yesterday"),
    ],
)
def test_numbers(function, value, written) -> None:
    assert function(value) == written


def test_metrics_are_named_as_people_write_them() -> None:
    assert numbers.spoken("validation/log_likelihood") == "validation log likelihood"
    assert numbers.spoken("gain_over_pca") == "gain over PCA"
    assert numbers.spoken("mean_average_precision_test_unseen") == "mAP test unseen"
    assert numbers.heading("mean_iou") == "Mean IoU" and numbers.heading("psnr_db") == "PSNR in dB"
    assert numbers.heading("validation/mean_average_precision") == "Validation mAP"
    assert numbers.heading("pca_accuracy") == "PCA accuracy"
    assert numbers.heading("loss") == "Loss"
