"""Shards that are damaged, or made by someone who means harm, are refused in one line and give nothing."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.datamodules.encodings import encode
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.numbered import image, numbers_of, settings, write_raw

Make = Callable[..., ShardSet]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shards of 6 samples, 3 a record."""
    write_raw(tmp_path / "raw", 6)
    write_shards(settings(samples_per_record=3), tmp_path / "raw", tmp_path / "numbered")
    return tmp_path / "numbered"


def read_all(folder: Path) -> dict[str, np.ndarray]:
    split = ShardSet.open(folder).split("train")
    return split.read(np.arange(split.num_samples))


def vouch(folder: Path) -> None:
    """Let shards.json say the hash and size that the shard has, and not where its records lie: an attacker
    would."""
    content = (folder / "train-000000.tar").read_bytes()
    described = json.loads((folder / "shards.json").read_text()) | {"format": 1}
    described["splits"]["train"]["shards"][0] |= {
        "sha256": hashlib.sha256(content).hexdigest(),
        "num_bytes": len(content),
    }
    (folder / "shards.json").write_text(json.dumps(described))


def members(record: int, **changed: Any) -> dict[str, bytes]:
    numbers = np.arange(3) + 3 * record
    arrays = {
        "image": np.stack([image(number) for number in numbers]),
        "label": numbers % 3,
        "index": numbers,
    } | changed
    return {f"{record:08d}.{name}.npy": encode(array, "npy") for name, array in arrays.items()}


def write_tar(folder: Path, files: dict[str, bytes], special: tarfile.TarInfo | None = None) -> None:
    with tarfile.open(folder / "train-000000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        if special is not None:
            tar.addfile(special)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    vouch(folder)


def test_what_the_writer_wrote_is_what_these_tests_write(folder: Path) -> None:
    before = (folder / "train-000000.tar").read_bytes()
    samples = read_all(folder)
    order = samples["index"].tolist()
    assert numbers_of(samples["image"]) == order and sorted(order) == list(range(6))
    write_tar(folder, members(0) | members(1))
    assert len((folder / "train-000000.tar").read_bytes()) == len(before)
    assert numbers_of(read_all(folder)["image"]) == list(range(6))


def test_numbers_may_come_in_any_order_and_twice(folder: Path) -> None:
    split = ShardSet.open(folder).split("train")
    straight = split.read(np.arange(6))["index"]
    chosen = np.array([5, 0, 0, 3])
    assert (split.read(chosen)["index"] == straight[chosen]).all()
    assert "index" not in split.read(chosen, index=False)


@pytest.mark.parametrize("place", [0, 130, 512, 1500, 5000, -1])
def test_a_flipped_bit_is_found(folder: Path, place: int) -> None:
    path = folder / "train-000000.tar"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"is damaged: expected sha256 [0-9a-f]{64}, got .* Make them again: python",
    ):
        read_all(folder)


@pytest.mark.parametrize("size", [0, 1, 512, 5000, 20_000])
def test_a_shard_of_another_length_is_found(folder: Path, size: int) -> None:
    path = folder / "train-000000.tar"
    path.write_bytes(path.read_bytes().ljust(size, b"\0")[:size])
    with pytest.raises(UserError, match=f"has {size} bytes, not 10240"):
        read_all(folder)
    if size:
        vouch(folder)
        if size < 10_000:
            with pytest.raises(UserError, match=r"was cut|damaged header|records of the field"):
                read_all(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "train-000000.tar").unlink()
    with pytest.raises(UserError, match=r"train-000000\.tar can't be read \(No such file"):
        read_all(folder)


class Bomb:
    """Unpickling it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


def test_a_pickle_is_never_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    content = io.BytesIO()
    np.save(content, np.array([Bomb()] * 3, object), allow_pickle=True)
    files = members(0) | members(1)
    files["00000000.label.npy"] = content.getvalue()
    write_tar(folder, files)
    with pytest.raises(UserError, match="holds Python objects, that is a pickle"):
        read_all(folder)
    files["00000000.label.npy"] = pickle.dumps(Bomb())
    write_tar(folder, files)
    with pytest.raises(UserError, match="field 'label' that is refused"):
        read_all(folder)
    write_tar(folder, {"00000000.label.pkl": files.pop("00000000.label.npy")} | files)
    with pytest.raises(UserError, match="which is no record's file"):
        read_all(folder)
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize(
    "name",
    ["../escape.npy", "/tmp/escape.npy", "a/b.npy", "00000000.image.npy\n", "00000000.image", "0.image.npy",
     "00000000..npy", "00000000.../x.npy", "00000000.image.npy\0.tar", "-rf", "00000000.im\x1bage.npy",
     "é.npy"],
)  # fmt: skip
def test_a_name_of_another_kind_is_refused(folder: Path, name: str) -> None:
    before = set(folder.parent.rglob("*"))
    info = tarfile.TarInfo(name)
    if "\0" in name:  # tarfile itself would cut the name there
        info = tarfile.TarInfo(name.replace("\0", "?"))
    write_tar(folder, members(0) | members(1), info)
    if "\0" in name:
        path = folder / "train-000000.tar"
        header = bytearray(path.read_bytes())
        header[header.index(b"?")] = 0
        header[148:156] = f"{sum(header[:148]) + 256 + sum(header[156:512]):06o}\0 ".encode()
        path.write_bytes(header)
        vouch(folder)
    with pytest.raises(UserError, match="which is no record's file") as caught:
        read_all(folder)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert set(folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
     tarfile.CONTTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE],
)  # fmt: skip
def test_links_devices_and_extensions_are_refused(folder: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("00000000.image.npy")
    info.type, info.linkname = kind, "/etc/passwd"
    write_tar(folder, members(0) | members(1), info)
    with pytest.raises(UserError, match="which is no record's file"):
        read_all(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": np.zeros((3, 1, 2, 4), np.uint8)}, "not uint8"),
        ({"image": np.zeros((2, 1, 2, 3), np.uint8)}, "not uint8"),
        ({"image": np.zeros((3, 1, 2, 3), np.int8)}, "not uint8"),
        ({"label": np.zeros(3, ">i8")}, "not int64"),
        ({"label": np.zeros((3, 1), np.int64)}, "not int64"),
        ({"label": np.zeros(3, "V8")}, "not int64"),
        ({"more": np.zeros(3, np.int64)}, "which has no place there"),
    ],
)
def test_arrays_unlike_the_schema_are_refused(folder: Path, changed: dict[str, Any], message: str) -> None:
    write_tar(folder, members(0, **changed) | members(1))
    with pytest.raises(UserError, match=message):
        read_all(folder)


def test_missing_doubled_and_swapped_records_are_refused(folder: Path) -> None:
    both = members(0) | members(1)
    without = {name: content for name, content in both.items() if name != "00000001.label.npy"}
    write_tar(folder, without)
    with pytest.raises(UserError, match="has 1 records of the field 'label', not 2"):
        read_all(folder)
    write_tar(folder, members(0))
    with pytest.raises(UserError, match="has 1 records of the field 'image', not 2"):
        read_all(folder)
    write_tar(folder, both | members(2))
    with pytest.raises(UserError, match="has 3 records of the field 'image', not 2"):
        read_all(folder)
    write_tar(folder, members(1) | members(0))
    with pytest.raises(UserError, match="which has no place there"):
        read_all(folder)


def test_columns_first_and_later_npy_versions_are_refused(folder: Path) -> None:
    files = members(0) | members(1)
    content = io.BytesIO()
    np.lib.format.write_array(
        content, np.asfortranarray(np.zeros((3, 1, 2, 3), np.uint8)), allow_pickle=False
    )
    write_tar(folder, files | {"00000000.image.npy": content.getvalue()})
    with pytest.raises(UserError, match="laid out by columns"):
        read_all(folder)
    content = io.BytesIO()
    np.lib.format.write_array(content, np.zeros(3, np.int64), version=(2, 0), allow_pickle=False)
    write_tar(folder, files | {"00000000.label.npy": content.getvalue()})
    with pytest.raises(UserError, match=r"no npy file of version 1\.0"):
        read_all(folder)


def test_a_header_that_lies_about_its_size_is_refused(folder: Path) -> None:
    path = folder / "train-000000.tar"
    for size in (0, 10_240, 8**11 - 1):
        header = bytearray(path.read_bytes())
        header[124:136] = f"{size:011o}\0".encode()
        header[148:156] = f"{sum(header[:148]) + 256 + sum(header[156:512]):06o}\0 ".encode()
        path.write_bytes(header)
        vouch(folder)
        with pytest.raises(UserError, match="has a damaged header at byte 0"):
            read_all(folder)


@examples(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10_239), st.integers(0, 255)), min_size=1, max_size=4))
@example(changes=[(569, 40)])  # a header of npy with a bracket too many
def test_any_bytes_give_whole_samples_or_a_refusal(folder: Path, changes: list[tuple[int, int]]) -> None:
    write_tar(folder, members(0) | members(1))
    path = folder / "train-000000.tar"
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[place] = byte
    path.write_bytes(content)
    vouch(folder)
    try:
        samples = read_all(folder)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert {name: array.shape for name, array in samples.items()} == {
            "image": (6, 1, 2, 3), "label": (6,), "index": (6,),
        }  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("../x.tar"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for key, item in inner for place in _places(item, (*path, key))]


@examples(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=VALUES)
def test_any_shards_json_is_read_or_refused(folder: Path, data: st.DataObject, value: Any) -> None:
    path = folder / "shards.json"
    original = path.read_text()
    described: Any = {"all": json.loads(original)}
    *way, last = data.draw(st.sampled_from([place for place in _places(described) if place]))
    inner = described
    for key in way:
        inner = inner[key]
    inner[last] = value
    path.write_text(json.dumps(described["all"]))
    try:
        samples = read_all(folder)
        assert len(samples["index"]) == 6
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        path.write_text(original)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 10_000, '{"format": 2}', '{"format": 3}', '{"format": 1}', "\0"]
)
def test_a_file_that_is_no_description_is_refused(folder: Path, text: str) -> None:
    (folder / "shards.json").write_text(text)
    with pytest.raises(UserError, match=r"shards\.json.*Make them: .*\.shard dataset=numbered"):
        ShardSet.open(folder)


def test_shards_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no shards\. Make them: .*\.shard dataset=fashion"):
        ShardSet.open(tmp_path / "fashion")


@pytest.mark.parametrize(
    "path", ["../train-000000.tar", "/etc/passwd", "test-000000.tar", "train-000001.tar"]
)
def test_a_shard_lies_in_its_folder(folder: Path, path: str) -> None:
    described = json.loads((folder / "shards.json").read_text())
    described["splits"]["train"]["shards"][0]["path"] = path
    (folder / "shards.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="is no shard's name"):
        ShardSet.open(folder)


def test_a_plan_of_another_schema_is_refused(folder: Path) -> None:
    ShardSet.open(folder, settings(samples_per_record=3))
    fields = {
        "image": {
            "dtype": "uint8",
            "shape": [1, 3, 2],
            "axes": ["channel", "height", "width"],
            "units": "level",
        },
        "label": {
            "dtype": "int64",
            "shape": [],
            "axes": [],
            "units": "class number",
            "classes": ["a", "b", "c"],
        },
    }
    with pytest.raises(
        UserError, match=r"fields image other than the plan's\. Make them again: .*\.shard dataset=numbered;"
    ):
        ShardSet.open(folder, settings(fields=fields))
    with pytest.raises(UserError, match="the dataset 'numbered' other than the plan's"):
        ShardSet.open(folder, settings(name="others"))
    with pytest.raises(UserError, match=r"has 3 samples a record other than the plan's"):
        ShardSet.open(folder, settings(samples_per_record=2))
    with pytest.raises(UserError, match=r"has no split 'dev'\. There is: train"):
        ShardSet.open(folder).split("dev")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"splits": {"test": {"from": "train", "fraction": 0.5}}},
            r"splits\.test\.fraction 0\.2 instead of 0\.5",
        ),
        ({"splits": {}}, r"splits\.test .* instead of unset"),
    ],
)
def test_shards_of_other_settings_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    made = settings(splits={"test": {"from": "train", "fraction": 0.2}})
    write_raw(tmp_path / "raw", 60)
    write_shards(made, tmp_path / "raw", tmp_path / "numbered")
    ShardSet.open(tmp_path / "numbered", made)
    asked = dataclasses.replace(made, **{key: getattr(settings(**changes), key) for key in changes})
    for check in (ShardSet.open, shard_hashes):
        with pytest.raises(UserError, match=rf"{message}.* Make them again: .* dataset=numbered"):
            check(tmp_path / "numbered", asked)
