"""What is made of random bits: sums by Python's integers, parity by counting, splits that share no pair."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.composition.conf_contents import dataset
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.adding_problem import AddingProblemReader
from modules.datamodules.formats.addition import AdditionReader
from modules.datamodules.formats.parity import PARITIES, ParityReader

TEXT = FieldSettings("int64", ["time"], ["time"], "token")
ADDITION = {"text": TEXT, "labels": TEXT}
PARITY = {
    "bits": FieldSettings("bool", [12], ["bit"], "truth value"),
    "label": FieldSettings("int64", [], [], "class number", PARITIES),
}
ADDING = {
    "sequence": FieldSettings("float32", ["time", 2], ["time", "value, mark"], "0 to 1"),
    "sum": FieldSettings("float32", [1], ["value"], "0 to 2"),
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).integers(0, 256, (60, 32), dtype=np.uint8)
    rows[1, :8], rows[1, 8:16] = rows[0, 8:16], rows[0, :8]  # the same two numbers in the other order
    np.save(tmp_path / "bits.npy", rows)
    return tmp_path


def read(reader: Any, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Any]:
    samples = reader.samples(raw, fields)["train"]
    return dict(samples.read(np.arange(len(samples.keys)))) | {"places": list(samples.places)}


@pytest.mark.parametrize("num_digits", [1, 5, 15])
def test_sums_are_right_digit_by_digit(num_digits: int, raw: Path) -> None:
    found = read(AdditionReader("bits.npy", num_digits), raw, ADDITION)
    for text, labels in zip(found["text"], found["labels"], strict=True):
        asked, _, answered = text.partition("=")
        first, _, second = asked.partition("+")
        assert len(first) == len(second) == num_digits and answered == "-" * (num_digits + 1)
        assert len(labels) == len(text) and labels[: -num_digits - 1] == "-" * (2 * num_digits + 2)
        assert int(labels[-num_digits - 1 :]) == int(first) + int(second)
    assert found["places"][0] == found["places"][1] and found["text"][0] != found["text"][1]


def test_parity_counts_the_bits(raw: Path) -> None:
    found = read(ParityReader("bits.npy"), raw, PARITY)
    assert found["bits"].shape == (60, 12) and found["bits"].dtype == bool
    assert found["label"].tolist() == [sum(bits) % 2 for bits in found["bits"].tolist()]
    equal = {bytes(bits): place for bits, place in zip(found["bits"], found["places"], strict=True)}
    assert len(equal) == len(set(equal.values()))


def test_one_value_of_each_half_is_marked(raw: Path) -> None:
    found = read(AddingProblemReader("bits.npy", [5, 12]), raw, ADDING)
    assert [len(sequence) for sequence in found["sequence"][:4]] == [5, 12, 5, 12]
    places = set()
    for sequence, total in zip(found["sequence"], found["sum"], strict=True):
        values, marks = sequence.T
        (first, second) = np.flatnonzero(marks)
        assert first < len(marks) // 2 <= second and set(marks.tolist()) == {0.0, 1.0}
        assert (values >= 0).all() and (values < 1).all()
        assert total.tolist() == [values[first] + values[second]]
        places.add((len(marks), first, second))
    assert len(places) > 20


@pytest.mark.parametrize(
    ("reader", "fields", "message"),
    [
        (AdditionReader("bits.npy", 5), PARITY, "the fields are bits, label"),
        (ParityReader("bits.npy"), ADDITION, "not bits and a label"),
        (ParityReader("bits.npy"), PARITY | {"label": FieldSettings("int64", [], [], "")}, "not bits"),
        (AddingProblemReader("bits.npy", [13]), ADDING, "sequences of 13 steps take rows of 34 bytes"),
        (AddingProblemReader("bits.npy", [5]), ADDITION, "the fields are text, labels"),
    ],
)
def test_what_does_not_fit_is_one_line(
    reader: Any, fields: dict[str, FieldSettings], message: str, raw: Path
) -> None:
    with pytest.raises(UserError, match=message):
        reader.samples(raw, fields)


@pytest.mark.parametrize("num_digits", [0, 16])
def test_numbers_that_no_64_bits_hold_are_refused(num_digits: int) -> None:
    with pytest.raises(ValueError, match=f"num_digits={num_digits}"):
        AdditionReader("bits.npy", num_digits)


def test_sequences_have_two_halves() -> None:
    with pytest.raises(ValueError, match=r"lengths=\[50, 1\]"):
        AddingProblemReader("bits.npy", [50, 1])


@pytest.mark.parametrize("name", ["addition", "addition_15_digits", "parity", "adding_problem"])
def test_each_source_is_large_enough(name: str) -> None:
    data = dataset(name)
    num_bits = data["source"]["num_bits"]
    reader = data["reader"]
    needed = {"AdditionReader": 128, "ParityReader": 24}.get(reader["_target_"].rpartition(".")[2])
    assert num_bits >= (needed or 64 + 16 * max(reader["lengths"]))
