"""Generated bits: the same on every machine, or refused; a reader that cuts them into fields."""

from pathlib import Path

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.packed_bits import PackedBitsReader
from modules.sources.random_bits import FILE, RandomBits

SHA256 = "b2474213d0fdf16d109f5ca06e373977e862e7c0940288112d8b43f678f7a1d8"


def source(**changes: object) -> RandomBits:
    settings = {"num_samples": 50, "num_bits": 24, "seed": 3, "sha256": SHA256} | changes
    return RandomBits("bits", licence="CC0-1.0", **settings)  # type: ignore[arg-type]


def field(*shape: int) -> FieldSettings:
    return FieldSettings("int8", list(shape), [f"axis{number}" for number in range(len(shape))], "-1 or 1")


def test_the_seed_decides_every_bit(tmp_path: Path) -> None:
    source().fetch(tmp_path / "cache", tmp_path)
    read = PackedBitsReader(FILE).samples(tmp_path, {"message": field(4, 2), "key": field(16)})["train"]
    found = read.read(np.arange(50))
    rows = np.unpackbits(np.load(tmp_path / FILE), axis=1).astype(int)
    assert found["message"].dtype == np.int8 and found["message"].shape == (50, 4, 2)
    assert np.array_equal(found["message"].reshape(50, 8), 2 * rows[:, :8] - 1)
    assert np.array_equal(found["key"], 2 * rows[:, 8:] - 1)
    assert abs(rows.mean() - 0.5) < 0.05
    assert list(read.keys) == [str(number) for number in range(50)]


def test_other_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the generated source 'bits' has sha256 .*, not"):
        source(seed=4).fetch(tmp_path / "cache", tmp_path)
    with pytest.raises(ValueError, match="no such rows"):
        source(num_bits=12)


@pytest.mark.parametrize("content", [b"nothing", None])
def test_what_is_no_such_file_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    np.save(tmp_path / FILE, np.zeros((5, 2), np.uint8))
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"is no NumPy file|take rows of 3 bytes"):
        PackedBitsReader(FILE).samples(tmp_path, {"message": field(8), "key": field(16)})
