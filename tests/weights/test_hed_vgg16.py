from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from modules.configuration.errors import UserError
from modules.models.convolutional.stylised_image import StylisedImage
from modules.models.convolutional.vgg16 import Vgg16
from modules.training.initial_weights import begin_from
from modules.weights.hed_vgg16 import HedVgg16Weights

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def layers() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The package's layers: kernels [height, width, in, out]."""
    generator = np.random.default_rng(0)
    inputs = 3
    for block, sizes in enumerate(BLOCKS, 1):
        for number, outputs in enumerate(sizes):
            kernel = generator.random((3, 3, inputs, outputs), np.float32)
            name = f"block{block}/layers/conv2d" + (f"_{number}" if number else "")
            yield name, kernel, generator.random(outputs, np.float32)
            inputs = outputs


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hed") / "hed.weights.h5"
    with h5py.File(path, "w") as written:
        for name, kernel, bias in layers():
            written[f"{name}/vars/0"], written[f"{name}/vars/1"] = kernel, bias
        written["dsn1/vars/0"] = np.zeros((1, 1, 64, 1), np.float32)
    return path


def test_every_number_lands_in_its_place(file: Path) -> None:
    model = Vgg16()
    model.load_state_dict(HedVgg16Weights().read(file))
    found = {name: (kernel, bias) for name, kernel, bias in layers()}
    # Blue comes first there and last here.
    first, _ = found["block1/layers/conv2d"]
    assert model.get_parameter("features.0.convolution.weight")[5, 0, 2, 1].item() == first[2, 1, 2, 5]
    kernel, bias = found["block3/layers/conv2d_2"]
    place = [info.name for info in model.feature_info].index("conv3_3") + 2  # poolings below it
    assert model.get_parameter(f"features.{place}.convolution.weight")[7, 3, 0, 2] == kernel[0, 2, 3, 7]
    assert model.get_parameter(f"features.{place}.convolution.bias")[7] == bias[7]


def test_they_fit_a_network_within_another_model(file: Path) -> None:
    model = StylisedImage((3, 16, 16))
    fit = begin_from(model, file, HedVgg16Weights("backbone."))
    assert fit.new == ["image"]
    assert all(name.startswith(("backbone.features.15.", "backbone.features.16.")) for name in fit.left_over)
    assert model.backbone.get_parameter("features.0.convolution.weight").requires_grad is False
    assert torch.equal(
        model.backbone.get_parameter("features.14.convolution.bias"),
        torch.from_numpy(next(bias for name, _, bias in layers() if name == "block5/layers/conv2d")),
    )


def test_what_is_no_such_file_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        HedVgg16Weights().read(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(UserError, match="holds no convolutions"):
        HedVgg16Weights().read(tmp_path / "text.h5")
    (tmp_path / "cut.h5").write_bytes(file.read_bytes()[:10000])
    with pytest.raises(UserError, match="holds no convolutions"):
        HedVgg16Weights().read(tmp_path / "cut.h5")
    with h5py.File(tmp_path / "other.h5", "w") as written:
        written["block1/layers/conv2d/vars/0"] = np.zeros(3, np.float32)
    with pytest.raises(UserError, match="holds no convolutions"):
        HedVgg16Weights().read(tmp_path / "other.h5")
