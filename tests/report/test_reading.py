"""Reading: what isn't there is None, what can't be read is one line that names the file."""

import json
import math
import pickle
from pathlib import Path

import numpy
import pytest

from modules.configuration.errors import UserError
from modules.report.reading import read_recipes


def test_everything_is_read(trained: Path) -> None:
    line, net = read_recipes(trained)
    assert (line.name, net.name) == ("line", "net"), "sorted by multiply-adds"
    assert line.training and line.evaluation and line.promotion
    assert line.score == line.evaluation.metrics["accuracy"]
    assert line.score and line.reached == (line.score >= 0.97)
    assert net.evaluation and net.evaluation.filters is not None
    assert net.evaluation.filters.shape == (6, 1, 5, 5)
    assert net.evaluation.confusion.sum() == net.evaluation.metrics["num_samples"]
    assert [gate.binding for gate in line.promotion.gates] == [True, False]
    assert line.missing == "" and not line.outdated


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        (["train/net/summary.json"], "not trained yet"),
        (["evaluate/net/metrics.json"], "not evaluated yet"),
        (["promote/net.json"], "not registered yet"),
        (["plan/net.svg", "evaluate/net/filters.npy", "evaluate/net/mistakes/mistakes.json"], ""),
    ],
)
def test_missing_parts(build: Path, gone: list[str], missing: str) -> None:
    for name in gone:
        (build / name).unlink()
    assert read_recipes(build)[1].missing == missing


def test_nothing_planned(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no plan"):
        read_recipes(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"text"', "{}", "\udcff", "[" * 100_000])
@pytest.mark.parametrize(
    "name",
    [
        "train/net/summary.json",
        "evaluate/net/metrics.json",
        "evaluate/net/confusion.json",
        "evaluate/net/provenance.json",
        "evaluate/net/charts.json",
        "evaluate/net/images/images.json",
        "promote/net.json",
        "plan/net.yaml",
    ],
)
def test_damaged_file_is_named(build: Path, name: str, text: str) -> None:
    (build / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        read_recipes(build)
    assert str(build / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_drawing_is_named(build: Path) -> None:
    (build / "plan/net.svg").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"plan/net\.svg is not text"):
        read_recipes(build)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("train/net/history.json", {"train/loss": 3}),
        ("train/net/history.json", {"train/loss": [[1]]}),
        ("train/net/history.json", {"train/loss": [["a", "b"]]}),
        ("train/net/phases.json", {"layer0": {"summary": {}, "history": {}}}),
        ("train/net/phases.json", {"layer0": {"summary": {}}}),
        ("train/net/phases.json", {"layer0": 3}),
        ("train/net/summary.json", {"steps": "many"}),
        ("train/net/summary.json", {"epochs": None}),
        ("evaluate/net/metrics.json", {"accuracy": "good"}),
        ("evaluate/net/metrics.json", {"loss": [1, 2]}),
        ("evaluate/net/confusion.json", {"matrix": [[1, 2], [3]]}),
        ("evaluate/net/confusion.json", {"matrix": [["x"] * 4] * 4}),
        ("evaluate/net/confusion.json", {"classes": ["one"]}),
        ("evaluate/net/confusion.json", {"matrix": [[-1] * 4] * 4}),
        ("evaluate/net/charts.json", {"kind": "pie"}),
        ("evaluate/net/charts.json", {"series": [{"name": "a", "points": [[1]]}]}),
        ("evaluate/net/charts.json", {"series": [{"name": "a", "points": [[1, float("nan")]]}]}),
        ("evaluate/net/charts.json", {"series": [{"name": "a", "points": [[1, 10**400]]}]}),
        ("evaluate/net/charts.json", {"series": 3}),
        ("train/net/history.json", {"train/loss": [[1, 10**400]]}),
        ("evaluate/net/images/images.json", {"file": "../metrics.json"}),
        ("evaluate/net/images/images.json", {"file": "gone.png"}),
        ("promote/net.json", {"gates": [1]}),
        ("promote/net.json", {"gates": [{"gate": "score"}]}),
    ],
)
def test_wrong_types_are_refused(build: Path, edit, name: str, changes: dict) -> None:
    content = json.loads((build / name).read_text())
    if isinstance(content, list):
        (build / name).write_text(json.dumps([content[0] | changes]))
    else:
        edit(build / name, changes)
    with pytest.raises(UserError) as caught:
        read_recipes(build)
    assert str((build / name).parent) in str(caught.value)


@pytest.mark.parametrize("file", ["../../../secret.png", "/etc/hostname", "..", "", "sub/x.png", "a\0b"])
def test_images_outside_their_folder_are_refused(build: Path, file: str) -> None:
    (build.parent / "secret.png").write_bytes(b"secret")
    entry = {"file": file, "truth": "a", "prediction": "b", "probability": 0.5}
    mistakes = build / "evaluate/net/mistakes/mistakes.json"
    mistakes.write_text(json.dumps([entry]))
    with pytest.raises(UserError, match="mistakes"):
        read_recipes(build)


def test_linked_image_is_refused(build: Path) -> None:
    secret = build.parent / "secret.png"
    secret.write_bytes(b"secret")
    folder = build / "evaluate/net/mistakes"
    (folder / "x.png").symlink_to(secret)
    entry = {"file": "x.png", "truth": "a", "prediction": "b", "probability": 0.5}
    (folder / "mistakes.json").write_text(json.dumps([entry]))
    with pytest.raises(UserError, match="outside its folder"):
        read_recipes(build)


class Loud:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return (Path.touch, (self.witness,))


def test_pickled_filters_are_not_unpickled(build: Path) -> None:
    witness = build / "unpickled"
    filters = build / "evaluate/net/filters.npy"
    for content in (pickle.dumps(Loud(witness)), None):
        if content is None:
            numpy.save(filters, numpy.array([Loud(witness)], dtype=object), allow_pickle=True)
        else:
            filters.write_bytes(content)
        with pytest.raises(UserError, match=r"filters\.npy"):
            read_recipes(build)
        assert not witness.exists()


def test_filters_that_are_an_archive_are_refused(build: Path) -> None:
    filters = build / "evaluate/net/filters.npy"
    with filters.open("wb") as opened:
        numpy.savez(opened, a=numpy.zeros((2, 1, 3, 3)))
    for content in (filters.read_bytes(), b"PK\x03\x04"):
        filters.write_bytes(content)
        with pytest.raises(UserError, match=r"filters\.npy is not an array"):
            read_recipes(build)


@pytest.mark.parametrize(
    "filters",
    [
        numpy.zeros(3),
        numpy.full((2, 1, 3, 3), math.nan),
        numpy.zeros((0, 1, 3, 3)),
        numpy.full((2, 1, 3, 3), "a"),
    ],
)
def test_filters_of_another_form_are_refused(build: Path, filters: numpy.ndarray) -> None:
    numpy.save(build / "evaluate/net/filters.npy", filters)
    with pytest.raises(UserError, match=r"filters\.npy"):
        read_recipes(build)


def test_evaluation_of_other_weights_is_outdated(build: Path, edit) -> None:
    edit(build / "train/net/summary.json", {"identity": "cd" * 32})
    line, net = read_recipes(build)
    assert net.outdated and not line.outdated
