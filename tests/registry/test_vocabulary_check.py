"""Weights of another vocabulary are refused, from wherever they come."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modules.configuration.errors import UserError
from modules.datamodules.shard_set import ShardSet
from modules.registry.pretrained import with_pretrained
from modules.registry.vocabulary_check import check_vocabularies
from modules.training.fit import initial_task
from tests.datamodules.ragged_data import write_text
from tests.training.small import small_plan


def test_another_vocabulary_of_the_same_field_is_refused() -> None:
    check_vocabularies({"text": "a", "title": "b"}, {"text": "a", "answer": "c"}, "the model")
    with pytest.raises(UserError, match="the model was trained with another vocabulary of the field 'text'"):
        check_vocabularies({"text": "a"}, {"text": "b"}, "the model")


def test_a_run_with_another_vocabulary_is_nothing_to_begin_from(tmp_path: Path) -> None:
    folder = tmp_path / "storage" / "data" / "shards"
    folder.mkdir(parents=True)
    alphabet = [chr(number) for number in range(33, 103)]
    changes = {"name": "king_james_bible", "samples_per_record": 50}
    shards = write_text(folder, ["".join(alphabet)] * 3, {"kind": "characters", "size": 74}, **changes)
    run = tmp_path / "run"
    run.mkdir()
    plan = small_plan("char_lstm", "model.hidden_size=4", data="king_james_bible")
    torch.save(initial_task(plan).model.state_dict(), run / "weights.pt")
    configuration = {**plan.configuration, "init_from": str(run)}
    plan = replace(plan, init_from=str(run), configuration=configuration)
    for sha256, fits in ((shards.vocabularies["text"].sha256(), True), ("0" * 64, False)):
        (run / "summary.json").write_text(json.dumps({"vocabularies": {"text": sha256}}))
        if fits:
            assert with_pretrained(plan, shards.folder).pretrained.weights == run / "weights.pt"
        else:
            with pytest.raises(UserError, match="another vocabulary of the field 'text'"):
                with_pretrained(plan, shards.folder)
    # What says its tokens is initialised again: the body may go on.
    fine_tuning = {**configuration["fine_tuning"], "reinit": ["output."]}
    other = replace(plan, configuration={**configuration, "fine_tuning": fine_tuning})
    assert with_pretrained(other, shards.folder).pretrained.weights == run / "weights.pt"
    assert ShardSet.open(shards.folder).vocabularies == shards.vocabularies
