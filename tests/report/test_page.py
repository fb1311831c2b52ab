"""The page: complete, well-formed, self-contained, harmless, and the same for the same results."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from modules.configuration.errors import UserError
from modules.report.page import headline, render
from modules.report.reading import read_recipes

VOID = {"meta", "img", "br", "input"}
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "nav",
    "p",
    "a",
    "h1",
    "h2",
    "h3",
    "h4",
    "ol",
    "ul",
    "li",
}
TAGS |= {"main", "header", "section", "div", "span", "b", "br", "code", "pre", "dl", "dt", "dd", "details"}
TAGS |= {"summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img"}
TAGS |= {"svg", "g", "line", "circle", "path", "text", "rect", "image", "audio", "label", "input"}
ATTRIBUTES = {
    "rowspan",
    "lang",
    "charset",
    "name",
    "content",
    "http-equiv",
    "class",
    "id",
    "href",
    "src",
    "alt",
    "style",
}
ATTRIBUTES |= {"scope", "colspan", "open", "role", "aria-label", "aria-labelledby", "aria-hidden", "xmlns"}
ATTRIBUTES |= {"controls", "preload", "tabindex", "dir", "for", "type", "width", "height", "stroke"}
ATTRIBUTES |= {"viewbox", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d", "text-anchor"}
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>' {{ 7*7 }} &amp;"


class Page(HTMLParser):
    """Every element and attribute of a page, and whether all that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(trained: Path) -> str:
    return render(read_recipes(trained))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_shows_every_part_of_every_recipe(page: Page, trained: Path) -> None:
    for recipe in read_recipes(trained):
        assert recipe.training and recipe.evaluation and recipe.promotion
        assert f"{recipe.score:.4f}" in page.text
        assert f"{recipe.num_parameters:,}" in page.text
        for mistake in recipe.evaluation.mistakes:
            alt = f"{mistake.truth}, taken for {mistake.prediction}"
            assert any(image["alt"] == alt for image in page.all("img"))
        for gate in recipe.promotion.gates:
            assert gate.detail in page.text
    assert page.text.count("Tells stripes and blobs apart.") == 1
    assert page.text.count("may fall while the layer goes on learning") == 1
    assert page.text.index("layer0: log likelihood") > page.text.rindex("Weights of the first layer")
    assert "python -m pipelines.predict model=net@champion input=image.png" in page.text
    for words in ("Confusion matrix", "Accuracy by class", "Worst mistakes", "To repeat it", "Network"):
        assert page.text.count(words) == 2
    assert "4.0 s" in page.text and "of it layer0" in page.text and "layer0: loss" in page.text
    assert "c0ffeec0ff with changes" in page.text and "2025-11-23 12:40 UTC" in page.text
    assert "ab" * 32 in page.text
    charts = [svg["aria-label"] or "" for svg in page.all("svg")]
    for start in ("Stripes & blobs: accuracy against multiply-adds", "loss of net", "accuracy of line"):
        assert any(chart.startswith(start) for chart in charts)
    assert sum(chart.startswith(("Two logits: second against first", "Rows: grey")) for chart in charts) == 4
    assert page.text.count("Each class for itself.") == page.text.count("Colour, and large.") == 2
    widths = [image["style"] for image in page.all("img") if image["alt"] in ("A tile", "A wall")]
    assert widths == ["width:480px", "width:720px"] * 2, (
        "a small image by a whole factor, a large one as it is"
    )


def test_confusion_matrix_is_the_measured_one(page: Page, trained: Path) -> None:
    matrix = json.loads((trained / "evaluate/line/confusion.json").read_text())["matrix"]
    cells = [str(count or "·") for row in matrix for count in row]
    assert "".join(cells) in re.sub(r"[\s]|horizontal|vertical|diagonal|blob", "", page.text)


def test_a_link_leads_to_the_run_where_the_tracker_has_it(trained: Path) -> None:
    net = next(one for one in read_recipes(trained) if one.name == "net")
    assert net.training and net.tracker_page == ""
    for uri, page in (
        ("sqlite:///mlflow.db", "http://127.0.0.1:5000/#/runs/abc"),
        ("https://tracker.org/", "https://tracker.org/#/runs/abc"),
    ):
        plan = net.plan | {"tracking": {"uri": uri}}
        tracked = replace(net, plan=plan, training=replace(net.training, run_id="abc"))
        assert tracked.tracker_page == page and f'href="{page}"' in render([tracked])
        assert ("make dashboard" in render([tracked])) == page.startswith("http://127")


@pytest.mark.parametrize(("num_classes", "shown"), [(26, True), (51, False)])
def test_a_matrix_of_many_classes_is_shown_or_said_to_be_missing(
    build: Path, edit, num_classes: int, shown: bool
) -> None:
    classes = [f"class {number}" for number in range(num_classes)]
    matrix = [[9 * (row == column) for column in classes] for row in classes]
    edit(build / "evaluate/net/confusion.json", {"classes": classes, "matrix": matrix})
    recipe = next(one for one in read_recipes(build) if one.name == "net")
    page = Page(render([recipe]))
    assert ('class="matrix dense"' in render([recipe])) == shown
    assert ("Of 51 classes, too many to be read cell by cell here" in page.text) == (not shown)
    assert ("The 50 least accurate of 51 classes" in page.text) == (not shown)


def test_can_be_read_without_eyes(page: Page) -> None:
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert all(heading.get("scope") for heading in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        link = attributes.get("for") or (attributes.get("href") if tag == "a" else None)
        target = attributes.get("aria-labelledby") or (link or "").removeprefix("#")
        assert not target or target in ids


def test_needs_nothing_beside_it(page: Page, text: str) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            inside = ("#", "data:image/", "data:audio/wav;")
            if (attributes.get("href") or "").startswith("http://127.0.0.1:5000/#/runs/"):
                continue  # what is only followed by a click
            assert (attributes.get(name) or "#").startswith(inside), (tag, attributes)
    assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"] * len(page.all("svg"))
    assert "url(" not in text and "@import" not in text
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_same_results_same_bytes(trained: Path, text: str) -> None:
    code = (
        "import sys; from pathlib import Path; from modules.report.page import render;"
        "from modules.report.reading import read_recipes;"
        "sys.stdout.buffer.write(render(read_recipes(Path(sys.argv[1]))).encode())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "123", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(trained)], capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode() == text


def test_hostile_names_stay_text(build: Path, edit) -> None:
    """Every name that comes from data or from a registry, in every place where it is shown."""
    folder = build / "evaluate/net"
    edit(folder / "confusion.json", {"classes": [HOSTILE, "b", "c", "d"]})
    mistakes = json.loads((folder / "mistakes/mistakes.json").read_text())
    (folder / "mistakes/mistakes.json").write_text(
        json.dumps([entry | {"truth": HOSTILE, "prediction": HOSTILE} for entry in mistakes])
    )
    edit(build / "train/net/summary.json", {"identity": HOSTILE, "git_commit": HOSTILE, "finished": HOSTILE})
    edit(build / "train/net/summary.json", {"cpu": HOSTILE})
    edit(
        build / "promote/net.json",
        {
            "model": HOSTILE,
            "version": HOSTILE,
            "gates": [{"gate": HOSTILE, "passed": True, "detail": HOSTILE}],
        },
    )
    edit(build / "promote/net.json", {"previous": {"version": HOSTILE}})
    charts = json.loads((folder / "charts.json").read_text())
    for chart in charts:
        chart |= dict.fromkeys(("name", "title", "caption", "x", "y"), HOSTILE)
        chart["series"] = [one | {"name": HOSTILE} for one in chart["series"]]
    (folder / "charts.json").write_text(json.dumps(charts))
    shown = json.loads((folder / "images/images.json").read_text())
    shown = [entry | {"title": HOSTILE, "caption": HOSTILE} for entry in shown]
    (folder / "images/images.json").write_text(json.dumps(shown))
    exhibits = (folder / "exhibits/exhibits.json").read_text()
    for words in (
        "Answers",
        "quelle journ\u00e9e",
        "a tone",
        "edges",
        "second",
        "Course",
        "ball",
        "regions",
        "Scenes",
    ):
        assert f'"{words}"' in exhibits
        exhibits = exhibits.replace(f'"{words}"', json.dumps(HOSTILE))
    (folder / "exhibits/exhibits.json").write_text(exhibits)
    plan = yaml.safe_load((build / "plan/net.yaml").read_text())
    plan["data"]["title"] = plan["expected"]["metric"] = HOSTILE
    edit(folder / "metrics.json", {HOSTILE: 0.9})
    (build / "plan/net.yaml").write_text(yaml.safe_dump(plan))
    evil = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
    (build / "plan/net.svg").write_text(evil)
    hostile_name = '"><script>alert(2)<|script>'
    for verb, suffix in (("plan", ".yaml"), ("train", ""), ("evaluate", ""), ("promote", ".json")):
        (build / verb / f"net{suffix}").rename(build / verb / f"{hostile_name}{suffix}")
    page = Page(render(read_recipes(build)))
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES
    assert page.text.count(HOSTILE) >= 24
    assert hostile_name in page.text


def test_a_recipe_far_below_does_not_press_the_others_together(build: Path) -> None:
    def titles(**scores: float) -> list[str]:
        recipes = [
            replace(
                recipe,
                name=name,
                evaluation=replace(
                    recipe.evaluation, metrics=recipe.evaluation.metrics | {"accuracy": score}
                ),
            )
            for recipe, (name, score) in zip(read_recipes(build) * 2, scores.items(), strict=False)
            if recipe.evaluation
        ]
        found = re.findall(
            r"<figcaption>(Stripes[^<]*)</figcaption>\s*<div class=\"wide\"><svg.*?</svg>", render(recipes)
        )
        return [title.replace("&amp;", "&") for title in found]

    assert titles(a=0.9, b=0.8, c=0.5) == ["Stripes & blobs"]
    assert titles(a=0.9, b=0.8, chance=0.1) == ["Stripes & blobs; far below, and not plotted: chance"]
    assert titles(a=-80.0, b=-200.0) == ["Stripes & blobs"]  # log-likelihoods: no zero to be far from


def test_only_known_elements(page: Page) -> None:
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES


@pytest.mark.parametrize("gone", ["train", "evaluate", "promote"])
@pytest.mark.parametrize("names", [["net"], ["net", "line"]])
def test_recipes_that_are_not_done(build: Path, gone: str, names: list[str]) -> None:
    for verb in ("train", "evaluate", "promote")[("train", "evaluate", "promote").index(gone) :]:
        for name in names:
            path = build / verb / name
            shutil.rmtree(path) if path.is_dir() else path.with_suffix(".json").unlink()
    page = Page(render(read_recipes(build)))
    shown = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    if gone == "train":
        more = ("1 more recipe", "net") if names == ["net"] else ("2 recipes", "line")
        assert f"{more[0]}, not trained here; train one: dvc repro promote@{more[1]}" in page.text
        assert "netTells stripes and blobs apart." in page.text
        assert not set(names) & set(shown) and len(page.all("details")) == 3 - len(names)
    else:
        assert {"net", "line"} <= set(shown)
        assert ("not evaluated yet" in page.text) == (gone == "evaluate")


def test_thirty_recipes_are_folded(build: Path) -> None:
    for verb, suffix in (("plan", ".yaml"), ("train", ""), ("evaluate", ""), ("promote", ".json")):
        source = build / verb / f"net{suffix}"
        for number in range(30):
            copy = build / verb / f"net_{number}{suffix}"
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    page = Page(render(read_recipes(build)))
    details = page.all("details")
    assert len(details) == 32 and not any("open" in attributes for attributes in details)


def test_few_recipes_are_unfolded(page: Page) -> None:
    assert [("open" in attributes) for attributes in page.all("details")] == [True, True]


def test_scores_of_another_kind_are_named_and_not_compared(build: Path, edit) -> None:
    plan = yaml.safe_load((build / "plan/net.yaml").read_text())
    plan["expected"] = {"metric": "log_likelihood", "at_least": -100}
    (build / "plan/net.yaml").write_text(yaml.safe_dump(plan))
    edit(build / "evaluate/net/metrics.json", {"log_likelihood": -86.337})
    page = Page(render(read_recipes(build)))
    assert "Test score" in page.text and "log likelihood -86.34" in page.text
    charts = [svg["aria-label"] or "" for svg in page.all("svg")]
    assert not any("against multiply-adds" in chart for chart in charts), (
        "one recipe each: nothing to compare"
    )


def test_a_smaller_score_may_be_the_better_one(build: Path, edit) -> None:
    for name in ("line", "net"):
        plan = yaml.safe_load((build / f"plan/{name}.yaml").read_text())
        plan["expected"] = {"metric": "perplexity", "at_most": 2.5}
        (build / f"plan/{name}.yaml").write_text(yaml.safe_dump(plan))
    edit(build / "evaluate/line/metrics.json", {"perplexity": 90.0})
    edit(build / "evaluate/net/metrics.json", {"perplexity": 2.25})
    recipes = {recipe.name: recipe for recipe in read_recipes(build)}
    assert (recipes["line"].reached, recipes["net"].reached) == (False, True)
    assert (recipes["line"].relation, recipes["net"].relation) == (">", "≤")
    page = Page(render(list(recipes.values())))
    assert "≤ 2.500" in page.text and "1 of 2 recipes reaches its expected score" in page.text
    assert "perplexity 90.00 misses 2.500" in " ".join(page.text.split())
    charts = [svg["aria-label"] or "" for svg in page.all("svg")]
    assert any("perplexity against multiply-adds" in chart and "line 90" in chart for chart in charts)


def test_recipe_without_classes(build: Path, edit) -> None:
    for name in ("confusion.json", "filters.npy", "mistakes/mistakes.json"):
        (build / "evaluate/line" / name).unlink()
    page = Page(render(read_recipes(build)))
    assert page.text.count("Tells stripes and blobs apart.") == 1
    assert page.text.count("may fall while the layer goes on learning") == 1
    assert page.text.index("layer0: log likelihood") > page.text.rindex("Weights of the first layer")
    assert "python -m pipelines.predict model=net@champion input=image.png" in page.text
    for words in ("Confusion matrix", "Accuracy by class", "Most often confused", "Worst mistakes"):
        assert page.text.count(words) == 1, "of net alone"
    assert page.text.count("A tile") == 2


def test_the_accuracy_of_all_classes_is_no_other_score(build: Path, edit) -> None:
    plan = yaml.safe_load((build / "plan/line.yaml").read_text())
    plan["expected"]["metric"] = "accuracy_raised"
    (build / "plan/line.yaml").write_text(yaml.safe_dump(plan))
    edit(build / "evaluate/line/metrics.json", {"accuracy": 0.902, "accuracy_raised": 0.962})
    page = render(read_recipes(build))
    assert "all 0.902<" in page and "all 0.962<" not in page


def test_the_heading_of_the_scores_keeps_its_capitals(build: Path) -> None:
    for name in ("line", "net"):
        plan = yaml.safe_load((build / f"plan/{name}.yaml").read_text())
        plan["expected"]["metric"] = "gain_over_pca"
        (build / f"plan/{name}.yaml").write_text(yaml.safe_dump(plan))
    assert ">Test gain over PCA</th>" in render(read_recipes(build))


def test_image_that_is_none(build: Path) -> None:
    (build / "evaluate/net/images/wall.png").write_bytes(b"<svg>")
    with pytest.raises(UserError, match="net is not a PNG image"):
        render(read_recipes(build))


def test_mistake_that_is_no_image(build: Path) -> None:
    name = json.loads((build / "evaluate/line/mistakes/mistakes.json").read_text())[0]["file"]
    (build / "evaluate/line/mistakes" / name).write_bytes(b"GIF89a")
    with pytest.raises(UserError, match="line is not a PNG image"):
        render(read_recipes(build))


def test_large_images_are_made_small(build: Path) -> None:
    name = json.loads((build / "evaluate/line/mistakes/mistakes.json").read_text())[0]["file"]
    Image.effect_noise((1200, 900), 80).save(build / "evaluate/line/mistakes" / name)
    assert len(render(read_recipes(build))) < 300_000


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ([None, None], "2 recipes, none evaluated yet"),
        ([0.99], "The recipe reaches its expected score"),
        ([0.99, 0.99], "All 2 recipes reach their expected score"),
        ([0.99, 0.1], "1 of 2 recipes reaches its expected score"),
        ([0.1, 0.1], "None of 2 recipes reach their expected score"),
        ([0.1, None], "The evaluated recipe misses its expected score; 1 still to come"),
        (
            [0.99, 0.99, 0.1, None, None],
            "2 of 3 evaluated recipes reach their expected score; 2 still to come",
        ),
    ],
)
def test_headline_tells_the_result(trained: Path, scores: list[float | None], sentence: str) -> None:
    recipe = read_recipes(trained)[0]
    assert recipe.evaluation
    recipes = [
        replace(
            recipe,
            evaluation=None if score is None else replace(recipe.evaluation, metrics={"accuracy": score}),
        )
        for score in scores
    ]
    assert headline(recipes) == sentence
