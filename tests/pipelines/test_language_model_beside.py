"""A recogniser and a language model, both trained for a moment by the verbs, measured together."""

import json
from pathlib import Path

import numpy as np
import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.datamodules.samples import ArraySamples
from pipelines import evaluate, train
from tests.plans import plan_of
from tests.training.small import forget_origin
from tests.written_shards import write_samples

QUICK = ["trainer.max_epochs=2", "trainer.block_steps=2", "runtime.num_threads=1", "tracking=none"]
TEXT = [
    "recipe=char_lstm",
    "data.fields.text.vocabulary.size=8",
    "model.hidden_size=8",
    "trainer.order.window=8",
    "trainer.batch_size=4",
]
SPEECH = [
    "recipe=spoken_numbers",
    "data.fields.text.vocabulary={kind:characters,size:7}",
    "model.hidden_size=8",
    "trainer.batch_size=4",
]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/text and runs/speech."""
    folder = tmp_path_factory.mktemp("beside")
    with pytest.MonkeyPatch.context() as inside:
        inside.chdir(folder)
        rng = np.random.default_rng(0)

        def texts(letters: str, count: int, length: int) -> list[str]:
            return ["".join(rng.choice(list(letters), length)) for _ in range(count)]

        def sounds(count: int) -> dict[str, list]:
            lengths = rng.integers(7000, 9000, count)
            return {
                "sound": [0.1 * rng.normal(size=n).astype(np.float32) for n in lengths],
                "text": texts("abc", count, 5),
            }

        for name, overrides in (("text", TEXT), ("speech", SPEECH)):
            data = plan_of(compose([*overrides, *QUICK])).data
            data.splits.clear()
            splits = {}
            for split, count in (("train", 24), ("validation", 4), ("test", 6)):
                columns = {"text": texts("abcd", count, 12)} if name == "text" else sounds(count)
                splits[split] = ArraySamples([str(number) for number in range(count)], columns)
            shards = folder / "data" / "shards" / data.name
            write_samples(splits, data, shards)
            forget_origin(shards)
            train.main([*overrides, *QUICK])
            (run,) = {path for path in (folder / "runs").iterdir() if path.name not in ("text", "speech")}
            run.rename(folder / "runs" / name)
    return folder


def measured(yard: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, float]:
    monkeypatch.chdir(yard)
    evaluate.main(["run=runs/speech", *arguments])
    return json.loads((yard / "runs" / "speech" / "evaluate" / "metrics.json").read_text())


def test_both_error_rates_stand_side_by_side(yard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = measured(yard, monkeypatch)
    assert not any(name.startswith("language_model") for name in alone)
    beside = ["language_model=runs/text", "language_model_weight=0.0", "label_bonus=0.0"]
    without = measured(yard, monkeypatch, *beside)
    assert without.items() >= alone.items()
    assert without["language_model_label_error"] == alone["beam_label_error"]
    # So much for each label that it says as many as it can.
    many = measured(yard, monkeypatch, "language_model=runs/text", "label_bonus=50")
    assert many["beam_label_error"] == alone["beam_label_error"] != many["language_model_label_error"]


def test_what_does_not_fit_is_one_line(yard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, message in (
        (["run=runs/speech", "language_model=runs/speech"], "was trained for Transcription, and is no"),
        (["run=runs/text", "language_model=runs/text"], "no evaluator of char_lstm asks a language model"),
        (["plan=runs/speech/plan.yaml", "language_model=runs/text"], r"language_model goes with run="),
        (["run=runs/speech", "language_model=runs/gone"], "language_model=runs/gone: there is no file"),
    ):
        monkeypatch.chdir(yard)
        with pytest.raises(UserError, match=message):
            evaluate.main(arguments)
