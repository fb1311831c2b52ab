"""Tables of every format give the same samples, and say what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from modules.bricks.field_standardisation import FieldStandardisation
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.table import TableReader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.datamodules.statistics_of_fields import read_statistics
from tests.datamodules.numbered import settings

FEATURES = {"dtype": "float32", "shape": [2], "axes": ["feature"], "units": "cm"}
LABEL = {"dtype": "int64", "shape": [], "axes": [], "units": "class number", "classes": ["a", "b"]}
FIELDS = {"features": FieldSettings(**FEATURES), "label": FieldSettings(**LABEL)}
WIDTH, HEIGHT, KIND = [1.5, 2.0, 1.5], [4, 5, 4], ["a", "b", "a"]


def csv(rows: str) -> Any:
    return lambda path: path.write_text(rows)


@pytest.mark.parametrize(
    ("name", "write", "reader"),
    [
        ("t.csv", csv("width,height,kind\n1.5,4,a\n2,5,b\n1.5,4,a\n"), {"columns": {"label": "kind"}}),
        ("t.data", csv("a;1.5;4\nb;2;5\na;1.5;4\n"),
         {"columns": {"label": "0", "features": ["1", "2"]}, "header": False, "delimiter": ";"}),
        ("t.parquet", lambda path: parquet.write_table(
            pyarrow.table({"kind": KIND, "width": WIDTH, "height": HEIGHT}), path),
         {"columns": {"label": "kind"}}),
        ("t.npz", lambda path: np.savez(path, x=np.array([WIDTH, HEIGHT]).T, y=np.array(KIND)),
         {"columns": {"label": "y"}}),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, write: Any, reader: dict) -> None:
    write(tmp_path / name)
    samples = TableReader({"train": name}, **reader).samples(tmp_path, FIELDS)["train"]
    read = samples.read(np.arange(3))
    assert read["features"].tolist() == [[1.5, 4], [2, 5], [1.5, 4]] and read["features"].dtype == np.float32
    assert read["label"].tolist() == [0, 1, 0] and list(samples.keys) == ["0", "1", "2"]
    assert samples.places[0] == samples.places[2] != samples.places[1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("width,height,kind\n1,2,c\n2,1,a\n", r"holds the class 'c'.*The data have: \[a, c\]"),
        ("width,height,kind\n1,,a\n", "the cell of 'height' in row 0 is empty"),
        (
            "width,height,kind\n1,2,a\n1,nan,a\n",
            "the cell of 'height' in row 1 is empty|row 1 holds no finite",
        ),
        ("width,height,kind\n1,x,a\n", "the column 'height' holds no numbers"),
        ("width,kind\n1,a\n", r"has 1 numbers a row for the field 'features'\. fields.features says \[2\]"),
        ("width,height\n1,2\n", "has no column 'kind'. There is: width, height"),
        ("", "is no table that can be read"),
    ],
)
def test_a_table_unlike_its_fields_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(rows)
    with pytest.raises(UserError, match=message):
        TableReader({"train": "t.csv"}, {"label": "kind"}).samples(tmp_path, FIELDS)


def test_mean_and_deviation_are_those_of_the_training_split(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(3, 2, (200, 2)).astype(np.float32)
    rows[:, 1] = 7
    (tmp_path / "raw").mkdir()
    np.savez(tmp_path / "raw/t.npz", x=rows, y=np.array(["a", "b"] * 100))
    (tmp_path / "raw/source.json").write_text(json.dumps({"name": "raw", "sha256": "", "licence": "CC0"}))
    table = {"_target_": "modules.datamodules.formats.table.TableReader", "files": {"train": "t.npz"}}
    data = settings(
        reader=table | {"columns": {"label": "y"}},
        fields={"features": FEATURES, "label": LABEL},
        splits={"test": {"from": "train", "fraction": 0.3}},
        samples_per_record=50,
    )
    write_shards(data, tmp_path / "raw", tmp_path / "out")
    split = ShardSet.open(tmp_path / "out", data).split("train")
    values = split.read(np.arange(split.num_samples))["features"].astype(np.float64)
    found = read_statistics(tmp_path / "out", "features")
    np.testing.assert_allclose(found["features"]["mean"], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["features"]["deviation"], [values[:, 0].std(), 1], rtol=1e-12)
    brick = FieldStandardisation("features", 2)
    brick.take(found)
    standard = brick(torch.from_numpy(values).float())
    assert standard.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert standard.std(0, correction=0).tolist() == pytest.approx([1, 0], abs=1e-5)
    with pytest.raises(UserError, match="has no mean and deviation of 'label'"):
        read_statistics(tmp_path / "out", "label")
