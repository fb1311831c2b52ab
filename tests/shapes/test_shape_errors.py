"""Each mistake is one line: the brick, the key and its place, both shapes, and a value that does fit."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from modules.configuration.composition.compose import compose
from modules.configuration.composition.hydra_loader import key_locations
from modules.configuration.composition.key_locations import CONF, KeyLocations, Layer
from modules.configuration.errors import UserError
from modules.shapes.mismatch import ShapeError
from modules.shapes.shape_check import check_phases, check_shapes
from tests.shapes.own_networks import chain, own

FLATTEN, RELU = ("Flatten", {}), ("ReLU", {})


def linear(in_features: int, out_features: int) -> tuple:
    return "Linear", {"in_features": in_features, "out_features": out_features}


def fault(config, where=None) -> ShapeError:
    with pytest.raises(ShapeError) as caught:
        check_shapes(config, where)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("override", "problem", "hint"),
    [
        (
            "model.kernel_size=15",
            "LeNet: a window of kernel_size=15 does not fit maps of 7x7",
            "model.kernel_size=9",
        ),
        (
            "model.num_classes=11",
            "model.output (DenseLayer): gives 11 logits, but label has 10",
            "model.num_classes=10",
        ),
        (
            "task.num_classes=9",
            "Classification: num_classes is 9, but label has 10 classes",
            "task.num_classes=10",
        ),
        (
            "model.input_shape=[1,32,32]",
            "gets batch×1024 but takes batch×1600",
            "model.input_shape=[1,28,28]",
        ),
        (
            "model.input_shape=[3,28,28]",
            "gets batch×1×28×28 but takes batch×3×28×28",
            "model.input_shape=[1,28,28]",
        ),
    ],
)
def test_overrides_of_lenet(override, problem, hint):
    overrides = ["recipe=lenet", "model.num_filters=[32,64]", override]
    error = fault(compose(overrides), key_locations(overrides, CONF))
    assert problem in error.problem
    assert f"{override.partition('=')[0]}=" in error.problem
    assert "is set on the command line" in error.problem
    assert error.hint == f"With {hint} the whole network fits (tried)"
    check_shapes(compose([*overrides, hint]))


def test_a_key_in_a_file_is_named_with_its_line(tmp_path: Path, configure):
    file = tmp_path / "own.yaml"
    model = chain(FLATTEN, linear(784, 100), RELU, linear(128, 10))
    file.write_text(yaml.safe_dump(model, sort_keys=False))
    error = fault(configure(model), KeyLocations((Layer(file, "model"),)))
    line = 1 + file.read_text().splitlines().index("  in_features: 128")
    assert error.problem == (
        "model.3 (Linear) gets batch×100 but takes batch×128; "
        f"model.layers[3].in_features=128 is set in {file}:{line}"
    )
    assert error.hint == "With `in_features: 100` the whole network fits (tried)"
    assert error.key == "model.layers[3].in_features"


def test_the_size_of_flattened_maps(configure):
    convolution = ("Conv2d", {"in_channels": 1, "out_channels": 8, "kernel_size": 5})
    error = fault(
        configure(chain(convolution, RELU, ("MaxPool2d", {"kernel_size": 2}), FLATTEN, linear(400, 10)))
    )
    assert "model.4 (Linear) gets batch×1152 but takes batch×400" in error.problem
    assert "`in_features: 1152`" in error.hint


def test_a_layer_of_no_neurons() -> None:
    """Torch would only warn of it, and a training divides by nothing."""
    error = fault(compose(["recipe=perceptron", "model.hidden_sizes=[0]"]))
    assert "model.hidden.0.linear (Linear): its parameter 'weight' of 0×784 holds nothing" in str(error)


def test_a_misspelt_word_is_no_matter_of_sizes() -> None:
    error = fault(compose(["recipe=perceptron", "model.activation=rellu"]))
    assert error.problem.startswith("DenseLayer: activation='rellu' is none of identity, sigmoid")
    assert error.hint == "Did you mean relu?"


def test_a_kernel_larger_than_the_maps(configure):
    layers = [
        ("Conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 21}),
        ("Conv2d", {"in_channels": 4, "out_channels": 4, "kernel_size": 11}),
        ("AdaptiveAvgPool2d", {"output_size": 1}),
        FLATTEN,
        linear(4, 10),
    ]
    error = fault(configure(chain(*layers)))
    assert "model.1 (Conv2d) gets batch×4×8×8 but takes at least batch×4×11×11" in error.problem
    assert error.hint == "With `kernel_size: 8` the whole network fits (tried)"


def test_shapes_that_do_not_add_up(configure):
    config = configure(own("Residual", num_filters=8, num_shortcut=6, num_classes=10))
    error = fault(config)
    assert error.problem.startswith("model (Residual): add does not fit batch×8×28×28 and batch×6×28×28; ")
    assert error.hint == "With model.num_filters=6 the whole network fits (tried)"
    fixed = deepcopy(config)
    fixed["model"]["num_filters"] = 6
    check_shapes(fixed)


def test_a_default_of_the_constructor_can_be_the_hint(configure):
    error = fault(configure(own("Unlucky", num_classes=10)))
    assert "Unlucky: window=40 is larger than 28; model.window=40 is the default" in error.problem
    assert error.hint == "With model.window=28 the whole network fits (tried)"


def test_two_wrong_sizes_are_said_to_be_two(configure):
    error = fault(configure(chain(FLATTEN, linear(400, 100), RELU, linear(128, 10))))
    assert "model.1 (Linear) gets batch×784 but takes batch×400" in error.problem
    assert "With `in_features: 784` it gets further, then model.3 (Linear) gets batch×100" in error.hint
    assert "more than one size is wrong" in error.hint


def test_nothing_that_fits_is_said_honestly(configure):
    error = fault(
        configure(chain(FLATTEN, ("Conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 3})))
    )
    assert (
        "model.1 (Conv2d)" in error.problem
        and "cannot take batch×784: Expected 3D (unbatched) or 4D" in error.problem
    )
    assert error.hint.startswith("None of ")
    assert error.key == ""


def test_a_fault_of_a_phase_names_the_key_as_the_command_line_does() -> None:
    overrides = ["recipe=dbn", "phases.layer1.task.layer=7"]
    with pytest.raises(ShapeError) as caught:
        check_phases(compose(overrides), key_locations(overrides, CONF))
    assert "phase layer1: " in str(caught.value)
    assert "phases.layer1.task.layer=7 is set on the command line" in str(caught.value)
    assert "With phases.layer1.task.layer=1 the whole network fits" in str(caught.value)


def test_a_task_that_reads_a_field_which_the_data_lack() -> None:
    config = compose(["data=letters", "model=feedforward/perceptron", "model.input_shape=[16]"])
    message = r"^task\.image: the data have no field 'image'\. Set task\.image to one of features, label$"
    with pytest.raises(UserError, match=message):
        check_shapes(config)
