import math

import pytest
import torch

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.shapes.mismatch import ShapeError
from modules.shapes.shape_check import check_shapes
from modules.shapes.trace import tensors
from modules.tasks.build_task import build_task
from modules.training.overfitting import without_regularisation
from tests.batches import LONGEST, batch_of
from tests.recipes.test_every_recipe import KINDS, training_of
from tests.shapes.own_networks import chain, own


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS.values())
def test_every_kind_of_recipe_agrees_with_what_really_runs(case):
    config = training_of(case)
    report = check_shapes(config)
    task = build_task(config["model"], config["task"])
    seen: dict[str, list[torch.Size]] = {}
    for path, module in task.named_modules():
        module.register_forward_hook(
            lambda _, given, named, output, path=path: (
                seen.setdefault(path, [one.shape for one in tensors((given, named, output))]) and None
            ),
            with_kwargs=True,
        )
    without_regularisation(task.model)  # some changes sizes by chance
    batch = batch_of(config, 3)
    for name, field in config["data"]["fields"].items():
        if len(field["shape"]) == 4 and isinstance(field["shape"][0], str):
            batch[f"{name}_length"].fill_(LONGEST)  # frames that are padding go through no net
    for step in task.steps():
        step.loss(batch)
    sizes = {"batch": 3, **dict.fromkeys(config["data"].get("typical_sizes", {}), LONGEST)}
    for field in config["data"]["fields"].values():
        if field.get("sample_rate_hz"):
            sizes[field["shape"][0]] = LONGEST * (field["sample_rate_hz"] // 5)
    assert seen.keys() & {row.path for row in report.rows}
    for row in report.rows:
        assert not row.path.startswith("model.") or task.get_submodule(row.path)
        if row.path in seen:
            texts = [*row.inputs, *row.outputs]
            told = [
                [math.floor(eval(axis.replace("·", "*"), {}, sizes)) for axis in text.split("×")]
                for text in texts
            ]
            assert told == [list(shape) for shape in seen[row.path]]
    model = task.get_submodule("model")
    assert report.cost.num_parameters == sum(p.numel() for p in model.parameters())
    assert sum(row.num_parameters for row in report.rows) == report.cost.num_parameters
    assert sum(row.multiply_adds for row in report.rows) == report.cost.multiply_adds


def test_multiply_adds_of_lenet_by_hand():
    config = compose(
        ["recipe=lenet", "model.num_filters=[32,64]", "model.hidden_sizes=[128]", "model.kernel_size=5"]
    )
    rows = {row.path: row.multiply_adds for row in check_shapes(config).rows}
    assert rows == {
        "model.features.0": 24 * 24 * 32 * 25,
        "model.features.1": 0,
        "model.features.2": 8 * 8 * 64 * 32 * 25,
        "model.features.3": 0,
        "model.hidden.0": 1024 * 128,
        "model.output": 128 * 10,
    }


FLATTEN = ("Flatten", {})


@pytest.mark.parametrize(
    ("layers", "features", "expected"),
    [
        (
            [("Conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 3}), FLATTEN],
            26 * 26 * 4,
            26 * 26 * 4 * 9,
        ),
        (
            [
                ("Conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 1}),
                ("Conv2d", {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "groups": 4}),
                FLATTEN,
            ],
            26 * 26 * 4,
            28 * 28 * 4 + 26 * 26 * 4 * 9,
        ),
        (
            [
                ("ConvTranspose2d", {"in_channels": 1, "out_channels": 2, "kernel_size": 2, "stride": 2}),
                ("AdaptiveAvgPool2d", {"output_size": 4}),
                FLATTEN,
            ],
            2 * 4 * 4,
            28 * 28 * 2 * 4,
        ),
    ],
)
def test_multiply_adds_of_convolutions_by_hand(configure, layers, features, expected):
    config = configure(chain(*layers, ("Linear", {"in_features": features, "out_features": 10})))
    assert check_shapes(config).cost.multiply_adds == expected + features * 10


def test_attention_and_folded_batch(configure):
    report = check_shapes(configure(own("Attention", num_classes=10)))
    rows = {row.path: row for row in report.rows}
    projections, products = 4 * 28 * 28 * 28, 2 * 28 * 28 * 28
    assert rows["model.attention"].multiply_adds == projections + products
    assert rows["model.attention"].inputs == ("batch×28×28",) * 3
    assert rows["model.rows"].inputs == ("28·batch×28",)
    assert rows["model.output"].inputs == ("batch×448",)


def test_a_brick_that_runs_often_is_one_row(configure):
    report = check_shapes(configure(own("Recurrent", num_classes=10)))
    cell, output, outside = report.rows
    assert (cell.num_calls, cell.inputs) == (28, ("batch×28", "batch×32"))
    assert cell.num_parameters == 3 * 32 * (28 + 32 + 2)
    assert cell.multiply_adds == 28 * 3 * 32 * (28 + 32)
    assert (outside.path, outside.num_parameters) == ("(outside bricks)", 32)
    assert report.cost.num_parameters == cell.num_parameters + output.num_parameters + 32


def test_a_parameter_without_gradient_is_named(configure):
    with pytest.raises(
        ShapeError, match=r"model\.unused \(Linear\): its parameter 'weight' of 3×32 gets no gradient"
    ):
        check_shapes(configure(own("Recurrent", num_classes=10, unused=3)))


def test_a_model_that_looks_at_numbers_is_said_in_one_line(configure):
    with pytest.raises(ShapeError, match=r"model \(Looking\).*item\(\)") as caught:
        check_shapes(configure(own("Looking", num_classes=10)))
    assert "\n" not in str(caught.value)


def test_one_sample_through_batch_normalisation(configure):
    model = chain(
        FLATTEN, ("BatchNorm1d", {"num_features": 784}), ("Linear", {"in_features": 784, "out_features": 10})
    )
    assert check_shapes(configure(model, batch_size=2)).cost.batch_size == 2
    with pytest.raises(UserError, match=r"trainer\.batch_size=1 does not fit the network"):
        check_shapes(configure(model, batch_size=1))


def test_a_target_that_may_not_be_built_stays_what_it_is(configure):
    with pytest.raises(UserError, match="not allowed") as caught:
        check_shapes(configure({"_target_": "os.system", "command": "true"}))
    assert not isinstance(caught.value, ShapeError)


def test_default_type_is_left_as_it_was(configure):
    model = chain(FLATTEN, ("Linear", {"in_features": 784, "out_features": 10}))
    single = check_shapes(configure(model)).cost.weight_bytes
    assert check_shapes(configure(model, precision="64-true")).cost.weight_bytes == 2 * single
    assert torch.get_default_dtype() == torch.float32
