"""Trained models that an evaluation asks: found as runs are, with the vocabularies that they learned."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.yaml_files import to_yaml
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import Vocabulary
from modules.models.recurrent.recurrent_language_model import RecurrentLanguageModel
from modules.registry.trained_models import find_trained_model
from modules.tasks.task import Task
from modules.training.fit import initial_task
from tests.datamodules.ragged_data import write_text
from tests.training.small import forget_origin, small_plan


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Shards of a text and a run over them."""
    shards = tmp_path / "data" / "shards"
    changes = {"name": "king_james_bible", "samples_per_record": 50}
    write_text(shards, ["abcabca"] * 3, {"kind": "characters", "size": 7}, **changes)
    (shards / "texts").rename(shards / "king_james_bible")
    forget_origin(shards / "king_james_bible")
    write_run(tmp_path / "run", of_text())
    return tmp_path


def of_text() -> Plan:
    overrides = ["model.hidden_size=4", "data.fields.text.vocabulary.size=7"]
    return small_plan("char_lstm", *overrides, data="king_james_bible")


def write_run(run: Path, plan: Plan) -> None:
    run.mkdir()
    torch.save(initial_task(plan).model.state_dict(), run / "weights.pt")
    (run / "plan.yaml").write_text(to_yaml(plan.to_plain()))


def found(storage: Path, reference: Path | str) -> tuple[Task, Mapping[str, Vocabulary]]:
    return find_trained_model(
        small_plan("neuron"), storage / "data" / "shards", str(reference), "language_model"
    )


def test_a_folder_and_a_file_give_weights_and_vocabulary(storage: Path) -> None:
    known = ShardSet.open(storage / "data" / "shards" / "king_james_bible").vocabularies["text"]
    written = torch.load(storage / "run" / "weights.pt", weights_only=True)
    for reference in (storage / "run", storage / "run" / "weights.pt"):
        task, vocabularies = found(storage, reference)
        model = task.model
        assert isinstance(model, RecurrentLanguageModel) and not model.training
        assert vocabularies["text"] == known
        assert all(torch.equal(weight, written[name]) for name, weight in model.state_dict().items())


def test_another_vocabulary_than_the_one_that_it_learned_is_refused(storage: Path) -> None:
    (storage / "run" / "summary.json").write_text(json.dumps({"vocabularies": {"text": "0" * 64}}))
    with pytest.raises(
        UserError, match=r"run/weights\.pt was trained with another vocabulary of the field 'te"
    ):
        found(storage, storage / "run")


def test_what_is_none_is_one_line(storage: Path) -> None:
    for reference, message in (
        ("build/train/char_lstm", "Train it first: dvc repro train@char_lstm"),
        ("char_lstm@champion", "tracking is off, so there is no registry"),
    ):
        with pytest.raises(UserError, match=message):
            found(storage, reference)
    (storage / "data" / "shards" / "king_james_bible").rename(storage / "gone")
    with pytest.raises(UserError, match="king_james_bible holds no shards"):
        found(storage, storage / "run")
