"""Who set a key."""

from dataclasses import replace
from pathlib import Path

import pytest

from modules.configuration.composition.hydra_loader import key_locations
from modules.configuration.static_analysis.definitions import ROOT

CONF = ROOT / "conf"


def line_with(file: str, text: str) -> str:
    lines = (CONF / file).read_text().splitlines()
    return f"conf/{file}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.parametrize(
    ("key", "file", "text"),
    [
        ("model.kernel_size", "model/convolutional/lenet.yaml", "kernel_size:"),
        ("model.num_filters[1]", "model/convolutional/lenet.yaml", "num_filters:"),
        ("model.unknown", "recipe/convolutional/lenet.yaml", "name: lenet"),
        ("trainer.block_steps", "trainer/default.yaml", "block_steps:"),
        ("trainer.max_epochs", "recipe/convolutional/lenet.yaml", "max_epochs:"),
        ("data.source.sha256", "source/fashion_mnist.yaml", "sha256:"),
        ("data.fields.label.units", "data/fashion_mnist.yaml", "class number"),
        ("expected.at_least", "recipe/convolutional/lenet.yaml", "at_least:"),
        ("seed", "config.yaml", "seed:"),
    ],
)
def test_the_last_file_that_sets_a_key(key: str, file: str, text: str) -> None:
    place = key_locations(["recipe=lenet"], CONF).of(key)
    expected = line_with(file, text)
    assert place == expected if key != "model.unknown" else place.startswith("conf/")


@pytest.mark.parametrize(
    ("override", "key", "by_command_line"),
    [
        ("model.kernel_size=3", "model.kernel_size", True),
        ("model.num_filters=[1,2]", "model.num_filters[0]", True),
        ("+model.new=3", "model.new", True),
        ("+model.new.size=3", "model.new", True),
        ("~model.dropout", "model.dropout", True),
        ("data.fields.image={units: x}", "data.fields.image.units", True),
        ("data.fields.image={units: x}", "data.fields.image.shape", False),
        ("model=feedforward/perceptron", "model.hidden_sizes", False),
        ("model.kernel_size=3", "model.pooling", False),
    ],
)
def test_the_command_line(override: str, key: str, by_command_line: bool) -> None:
    place = key_locations(["recipe=lenet", override], CONF).of(key)
    assert (place == f"command line ({override})") is by_command_line
    if not by_command_line:
        file, _, line = place.partition(":")
        assert (ROOT / file).is_file() and int(line) >= 1


@pytest.mark.parametrize(
    ("phase", "key", "override", "text"),
    [
        ("layer0", "task.layer", "phases.layer0.task.layer", "layer: 0"),
        ("layer1", "task.layer", "phases.layer1.task.layer", "layer: 1"),
        ("layer1", "trainer.batch_size", "phases.layer1.trainer.batch_size", "max_epochs: 3"),
        ("layer0", "model.dropout", "model.dropout", "dropout: 0.2"),
        ("", "trainer.max_epochs", "trainer.max_epochs", "max_epochs: 20"),
    ],
)
def test_a_key_of_a_phase(phase: str, key: str, override: str, text: str) -> None:
    of_phase = replace(key_locations(["recipe=dbn"], CONF), phase=phase)
    assert of_phase.override_of(key) == override
    assert of_phase.of(key) == line_with("recipe/boltzmann/dbn.yaml", text)
    told = replace(of_phase, overrides=(f"{override}=1",))
    assert told.of(key) == f"command line ({override}=1)"


def test_paths_outside_the_repository_are_shown_whole(conf: Path) -> None:
    assert key_locations(["recipe=lenet"], conf).of("seed").startswith(f"{conf}/config.yaml:")
