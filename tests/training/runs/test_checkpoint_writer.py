"""Checkpoints that are written while training goes on."""

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.training.runs.checkpoint import AtomicCheckpointIO, before, save_tensors
from modules.training.runs.checkpoint_writer import CheckpointWriter, Snapshot
from modules.training.runs.training_errors import explained

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TENSORS = st.builds(
    lambda shape, kind: torch.arange(torch.Size(shape).numel()).reshape(shape).to(kind),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.uint8]),
)
CONTENTS = st.recursive(
    PLAIN | TENSORS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        assert found == expected


def spoil(value: Any) -> None:
    """Changes all that can be changed in its place."""
    if isinstance(value, torch.Tensor):
        value.zero_()
    elif isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value.clear()
    elif isinstance(value, list | tuple):
        for item in value:
            spoil(item)
        if isinstance(value, list):
            value.clear()


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


@given(st.lists(CONTENTS, min_size=1, max_size=3), st.integers(1, 3))
def test_what_was_copied_stays_as_it_was(contents: list[Any], every: int) -> None:
    snapshot = Snapshot()
    for content in contents:
        file = io.BytesIO()
        torch.save(content, file)
        found = snapshot.take(content, later=list(tensors_in(content))[::every])
        snapshot.finish()
        spoil(content)
        file.seek(0)
        assert_equal(found, torch.load(file, weights_only=True))


def test_memory_is_used_again_and_shared_as_before() -> None:
    snapshot = Snapshot()
    weight = torch.randn(50, 20)
    content: dict[str, Any] = OrderedDict(first=weight, turned=weight.t(), row=weight[3])
    content["metadata"] = "kept"
    places = set()
    for _ in range(3):
        weight += 1
        found = snapshot.take(content)
        assert_equal(found, content)
        places.add(found["first"].data_ptr())
        assert found["first"].data_ptr() != weight.data_ptr()
        assert found["turned"].untyped_storage().data_ptr() == found["first"].data_ptr()
    assert len(places) == 1
    file, other = io.BytesIO(), io.BytesIO()
    torch.save(found, file)
    torch.save(content, other)
    assert len(file.getvalue()) == len(other.getvalue())
    assert_equal(snapshot.take({"first": torch.ones(3)}), {"first": torch.ones(3)})


def test_training_goes_on_while_one_is_written_and_the_next_waits() -> None:
    writer, may_write, written = CheckpointWriter(), threading.Event(), []

    def save(content: dict[str, Any]) -> None:
        assert may_write.wait(30)
        written.append(content["weight"].clone())

    weight = torch.zeros(4)
    writer.write({"weight": weight}, save)
    weight += 1
    assert not written
    threading.Timer(0.05, may_write.set).start()
    writer.write({"weight": weight}, save)
    assert [one.tolist() for one in written[:1]] == [[0.0] * 4]
    weight += 1
    writer.wait()
    assert [one.tolist() for one in written] == [[0.0] * 4, [1.0] * 4]


def test_a_step_waits_for_the_copy_of_what_it_changes() -> None:
    writer, copied, written = CheckpointWriter(), threading.Event(), []
    weight, mean = torch.zeros(4), torch.zeros(4)
    finish = writer._snapshot.finish

    def finish_late() -> None:
        assert copied.wait(30)
        finish()

    writer._snapshot.finish = finish_late
    writer.write({"weight": weight, "mean": mean}, lambda content: written.append(content), later=[weight])
    mean += 1
    assert writer.is_copying
    threading.Timer(0.05, copied.set).start()
    writer.wait_for_copy()
    weight += 1
    assert not writer.is_copying
    writer.wait()
    assert [written[0][name].tolist() for name in ("weight", "mean")] == [[0.0] * 4] * 2


def test_newest_checkpoints_stay(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    disk = AtomicCheckpointIO(writer := CheckpointWriter(), num_kept=2)
    for step in range(4):
        disk.save_checkpoint({"step": step}, path)
    writer.wait()
    assert torch.load(path)["step"] == 3
    assert torch.load(before(path, 1))["step"] == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["before_last.ckpt", "last.ckpt"]


def test_what_goes_wrong_is_raised_once_and_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_tensors({"step": 1}, path)
    content = path.read_bytes()
    disk = AtomicCheckpointIO(writer := CheckpointWriter(), num_kept=1)
    unfinished = tmp_path / ".last.ckpt.unfinished"
    unfinished.symlink_to("/dev/full")
    disk.save_checkpoint({"weights": torch.zeros(100_000)}, path)
    with pytest.raises(UserError, match="the disk is full"), explained(batch_size=1):
        writer.wait()
    writer.wait()
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    disk.save_checkpoint({"step": 2}, path)
    writer.wait()
    assert torch.load(path)["step"] == 2
