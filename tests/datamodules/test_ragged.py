"""Fields whose size differs from sample to sample: in shards, in batches, for plain webdataset."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from webdataset.compat import WebDataset

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules import shard_writer
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.ragged_data import FIELDS, MadeReader, ragged_settings, sample

NUM_SAMPLES = 23


def written(
    folder: Path, data: DataSettings, reader: MadeReader, monkeypatch: pytest.MonkeyPatch, size: int = 2**20
) -> ShardSet:
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    (raw / "source.json").write_text(json.dumps({"name": "raw", "sha256": "0" * 64, "licence": "CC0"}))
    monkeypatch.setattr(shard_writer, "build", lambda node: reader)
    write_shards(data, raw, folder / "shards", max_shard_bytes=size)
    return ShardSet.open(folder / "shards", data)


@pytest.mark.parametrize("samples_per_record", [1, 4])
@pytest.mark.parametrize("max_shard_bytes", [2**20, 30_000])
def test_a_batch_holds_every_sample_padded_with_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples_per_record: int, max_shard_bytes: int
) -> None:
    data = ragged_settings(samples_per_record=samples_per_record)
    shards = written(tmp_path, data, MadeReader(NUM_SAMPLES), monkeypatch, max_shard_bytes)
    split = shards.split("train")
    assert (len(split.shards) > 1) == (max_shard_bytes < 2**20)
    numbers = np.random.default_rng(0).permutation(NUM_SAMPLES)[:9]
    batch = split.read(numbers)
    rows = [sample(int(index)) for index in batch["index"]]
    for name, field in data.fields.items():
        if not field.symbols:
            assert batch[name].tolist() == [int(row[name]) for row in rows]
            continue
        ragged = [axis for axis, size in enumerate(field.shape) if isinstance(size, str)]
        lengths = batch[f"{name}_length"].reshape(len(rows), -1)
        assert batch[f"{name}_length"].ndim == (1 if len(ragged) == 1 else 2)
        longest = np.max([row[name].shape for row in rows], axis=0)
        assert batch[name].shape == (len(rows), *longest)
        for row, padded, length in zip(rows, batch[name], lengths, strict=True):
            assert [row[name].shape[axis] for axis in ragged] == length.tolist()
            inside = tuple(slice(size) for size in row[name].shape)
            np.testing.assert_array_equal(padded[inside], row[name])
            assert padded.sum(dtype=np.float64) == pytest.approx(row[name].sum(dtype=np.float64), rel=1e-5)


def test_a_row_ends_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Padded, the short samples are longer than the files that they lie in.
    long = {"sound": np.arange(30_000, dtype=np.float32)}
    data = ragged_settings("sound", samples_per_record=1)
    split = written(tmp_path, data, MadeReader(6, {2: long}), monkeypatch, 4096).split("train")
    assert len(split.shards) > 2 and min(shard.num_bytes for shard in split.shards) < 30_000 * 4
    batch = split.read(np.arange(6))
    for padded, index in zip(batch["sound"], batch["index"], strict=True):
        own = (sample(int(index)) | (long if index == 2 else {}))["sound"]
        assert padded.shape == (30_000,)
        assert np.array_equal(padded[: len(own)], own) and not padded[len(own) :].any()


def test_a_copy_of_a_split_opens_the_files_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = written(tmp_path, ragged_settings("sound"), MadeReader(6), monkeypatch).split("train")
    split.read(np.arange(6))
    copied = copy.deepcopy(split)  # as pickle does, by what its state is
    split.shards[0].path.unlink()
    with pytest.raises(UserError, match="can't be read"):
        copied.read(np.arange(6))
    split.read(np.arange(6))


def test_encoded_images_may_be_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"image": FIELDS["image"] | {"encoding": "png"}}
    data = ragged_settings("image", fields=fields, samples_per_record=1)
    split = written(tmp_path, data, MadeReader(7), monkeypatch).split("train")
    batch = split.read(np.arange(7))
    for padded, index, (height, width) in zip(
        batch["image"], batch["index"], batch["image_length"], strict=True
    ):
        np.testing.assert_array_equal(padded[:, :height, :width], sample(int(index))["image"])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves the files open
def test_plain_webdataset_reads_values_end_to_end_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ragged_settings("sound", "boxes", "image")
    shards = written(tmp_path, data, MadeReader(10), monkeypatch)
    url = str(shards.split("train").shards[0].path)
    decoded: Any = WebDataset(url, shardshuffle=False).decode()  # annotated as the mixin alone
    records = list(decoded)
    assert len(records) == 3
    seen = 0
    for record in records:
        expected = [sample(int(index)) for index in record["index.npy"]]
        for name in ("sound", "boxes", "image"):
            flat = np.concatenate([row[name].reshape(-1) for row in expected])
            np.testing.assert_array_equal(record[f"{name}.npy"], flat)
        assert record["sound.sizes.npy"].ravel().tolist() == [len(row["sound"]) for row in expected]
        assert record["image.sizes.npy"].tolist() == [list(row["image"].shape[1:]) for row in expected]
        seen += len(expected)
    assert seen == 10


def test_sizes_are_told_by_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, ragged_settings("boxes", "image"), MadeReader(9), monkeypatch)
    described = json.loads((tmp_path / "shards" / "shards.json").read_text())
    assert described["splits"]["train"]["sizes"] == {
        "boxes": [0, 1, 2],
        "height": [3, 4, 6],
        "width": [2, 4, 6],
    }


WRONG = {
    "has no time": {"sound": np.zeros(0, np.float32)},
    "has no frames": {"clip": np.zeros((0, 1, 2, 2), np.uint8)},
    r"'sound' of the sample 2 is float64 \[5\]": {"sound": np.zeros(5)},
    r"'boxes' of the sample 2 is float32 \[1, 5\]": {"boxes": np.zeros((1, 5), np.float32)},
    "height is 5 of 'image' and 6 of 'mask'": {"mask": np.zeros((6, 4), bool)},
    r"the box \[-1.0, 0.0, 1.0, 1.0\] of the sample 2 is outside its image of 4x5": {
        "boxes": np.array([[-1, 0, 1, 1], [0, 0, 1, 1]], np.float32)
    },
    "or has no size": {"boxes": np.array([[0, 0, 1, 1], [1, 0, 1, 1]], np.float32)},
    r"outside its image": {"boxes": np.array([[0, 0, 4, 5.5], [0, 0, 1, 1]], np.float32)},
    r"'kinds' of the sample 2 holds the class number 2, outside 0\.\.1": {"kinds": np.array([1, 2])},
    r"'kinds' of the sample 2 holds the class number -1, outside 0\.\.1": {"kinds": np.array([-1, 0])},
    "boxes is 2 of 'boxes' and 1 of 'kinds'": {"kinds": np.array([1])},
}


@pytest.mark.parametrize(("message", "changed"), WRONG.items(), ids=WRONG)
def test_a_sample_unlike_its_fields_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, changed: dict[str, np.ndarray]
) -> None:
    with pytest.raises(UserError, match=message):
        written(tmp_path, ragged_settings(), MadeReader(5, {2: changed}), monkeypatch)
    assert not (tmp_path / "shards").exists()


OTHER_MASK = FIELDS["mask"] | {"shape": ["height", 7]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"typical_sizes": {}}, "typical_sizes: names"),
        ({"fields": {"sound": FIELDS["sound"] | {"shape": ["batch"]}}}, "no name of a size"),
        ({"fields": {"sound": FIELDS["sound"] | {"boxes_of": "image"}}}, "boxes are"),
        ({"fields": {"boxes": FIELDS["boxes"]}, "typical_sizes": {"boxes": 2}}, "there is no field 'image'"),
        (
            {"fields": {"mask": FIELDS["mask"]}, "typical_sizes": {"height": 2, "width": 2}},
            r"fields\.mask\.mask_of: there is no field 'image'",
        ),
        (
            {"fields": {name: FIELDS[name] for name in ("mask", "image")} | {"mask": OTHER_MASK}},
            r"fields\.mask\.shape: the mask is \['height', 7\], its image 'image' \[3, 'height', 'width'\]",
        ),
        (
            {"fields": {"sound": FIELDS["sound"], "sound_length": FIELDS["label"]}},
            "is what the lengths of sound are called",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ragged_settings("sound", **changes)


def test_sizes_that_do_not_fit_the_values_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ragged_settings("sound", samples_per_record=5)
    written(tmp_path, data, MadeReader(5), monkeypatch)
    shard = tmp_path / "shards" / "train-000000.tar"
    content = bytearray(shard.read_bytes())
    lengths = np.array([len(sample(number)["sound"]) for number in range(5)], np.int64)
    split = ShardSet.open(tmp_path / "shards").split("train")
    lengths = lengths[split.read(np.arange(5))["index"]]
    at = content.index(lengths.tobytes())
    lengths[0] += 1
    content[at : at + lengths.nbytes] = lengths.tobytes()
    shard.write_bytes(content)
    described = tmp_path / "shards" / "shards.json"
    import hashlib

    old = split.shards[0].sha256
    described.write_text(described.read_text().replace(old, hashlib.sha256(content).hexdigest()))
    with pytest.raises(UserError, match="holds the field 'sound' as float32"):
        ShardSet.open(tmp_path / "shards").split("train").read(np.arange(5))


def test_an_evaluation_takes_each_sample_once_in_batches_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.datamodules.shard_loader.MAX_PADDED", 100)
    split = written(tmp_path, ragged_settings("sound"), MadeReader(NUM_SAMPLES), monkeypatch).split("train")
    seen: list[int] = []
    for rank in range(2):
        loader = EvaluationLoader(split, 4, rank, 2)
        batches = list(loader)
        assert len(batches) == len(loader)
        for batch in batches:
            assert batch["sound"].numel() <= 100 or len(batch["sound"]) == 1
            assert len(batch["sound"]) <= 4
            seen += batch["index"].tolist()
    assert sorted(seen) == list(range(NUM_SAMPLES))
