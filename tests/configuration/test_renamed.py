"""Words of 0.1.0 are refused with today's, and plans that were kept are read in today's."""

from pathlib import Path

import pytest
import yaml

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.old_plans import read_trained
from modules.configuration.renamed import CHOICES, TARGETS, renamed
from modules.configuration.static_analysis.definitions import ROOT, define

INVERTED = "modules.bricks.inverted_residual.InvertedResidual"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["fine_tuning.anew=[output.]"], "It is called fine_tuning.reinit now"),
        (["+fine_tuning.through=x"], "It is called fine_tuning.adapter now"),
        (["++fine_tuning={thaw_every_epochs: 2}"], "It is called fine_tuning.unfreeze_every_epochs now"),
        (["+phases.a={fine_tuning: {anew: []}}"], "phases.a.*It is called fine_tuning.reinit now"),
        (["data=traffic_signs", "data.reader.pictures_per_class.train=3"], "images_per_class"),
        (["model=chain"], "It is called sequential now"),
        (
            ["model._target_=modules.bricks.normalised_convolution.NormalisedConvolution"],
            "Take modules.bricks.convolution.ConvolutionLayer with norm: batch and padding: same",
        ),
        (
            [
                "model=sequential",
                f"model.layers=[{{_target_: {INVERTED}, out_channels: 3}}]",
            ],
            "InvertedResidual has no 'out_channels'. It is called num_filters now",
        ),
        (["model=convolutional/autoencoder"], "It is called convolutional/convolutional_autoencoder now"),
        (
            ["model._target_=modules.models.chain.Chain"],
            "It is called modules.models.sequential.Sequential now",
        ),
    ],
)
def test_an_old_word_names_the_new_one(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        compose(["recipe=lenet", *overrides])
    assert "\n" not in str(caught.value)


def test_keywords_of_a_class_are_read_in_todays_words_and_no_others() -> None:
    old = {"_target_": "modules.tasks.sequence_labelling.SequenceLabelling", "text": "text", "labels": "a"}
    other = {"_target_": "modules.tasks.text_classification.TextClassification", "text": "text"}
    layers = [{"_target_": INVERTED, "out_channels": 3}]
    found = renamed({"task": old, "memory": {"task": other}, "model": {"layers": layers}})
    assert found["task"] == {"_target_": old["_target_"], "source": "text", "labels": "a"}
    assert found["memory"]["task"] == other
    assert found["model"]["layers"] == [{"_target_": INVERTED, "num_filters": 3}]


def test_every_new_name_is_there() -> None:
    for target in TARGETS.values():
        assert define(target) is not None, target
    for group, choices in CHOICES.items():
        for new in choices.values():
            assert (ROOT / "conf" / group / f"{new}.yaml").is_file()


def test_a_plan_kept_with_a_model_is_read_in_todays_words(tmp_path: Path) -> None:
    plan = compose(["recipe=convolutional_autoencoder"])
    old = {new: old for old, new in TARGETS.items()}
    plan["model"]["_target_"] = old[plan["model"]["_target_"]]
    plan["fine_tuning"] = {"through": None, "anew": ["output."]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    found = read_trained(tmp_path / "plan.yaml")
    assert found["model"]["_target_"] in TARGETS.values()
    assert found["fine_tuning"] == {"adapter": None, "reinit": ["output."]}
    plan["model"]["_target_"] = "modules.models.gone.Gone"
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(UserError, match=r"plan.yaml: .*modules.models has no module"):
        read_trained(tmp_path / "plan.yaml")
    (tmp_path / "plan.yaml").write_text("model: {}\n")
    with pytest.raises(UserError, match="is no plan: it has no task"):
        read_trained(tmp_path / "plan.yaml")
