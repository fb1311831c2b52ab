"""Images as a frozen network sees them: the maps are its own, whatever the batch, and what does not fit is
said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.encoded import EncodedReader
from modules.datamodules.samples import ArraySamples
from modules.models.convolutional.precomputed_maps import PrecomputedMaps
from modules.models.convolutional.resnet import ResNet

IMAGES = np.random.default_rng(0).integers(0, 256, (70, 3, 16, 16), np.uint8)
FIELDS = {
    "image": FieldSettings("float16", [6, 2, 2], ["channel", "height", "width"], "activation"),
    "label": FieldSettings("int64", [], [], "class"),
}


class Inner:
    """Keeps the fields that it is asked for."""

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Any]:
        self.fields = fields
        columns = {"image": IMAGES, "label": np.arange(70)}
        return {"train": ArraySamples([str(n) for n in range(70)], columns, notes=["seen"])}


class Weights:
    """Those of a network, some left out."""

    def __init__(self, net: ResNet, without: str = "-") -> None:
        self.found = {name: value for name, value in net.state_dict().items() if without not in name}

    def read(self, file: Path) -> dict[str, torch.Tensor]:
        return self.found | {"head.weight": torch.zeros(1)}


def net(seed: int) -> ResNet:
    torch.manual_seed(seed)
    return ResNet((3, 16, 16), None, 1, (4, 6), stem="large").eval()


def reader(tmp_path: Path, weights: Weights, map_: str = "stage2") -> tuple[EncodedReader, Inner]:
    (tmp_path / "weights").write_bytes(b"")
    inner = Inner()
    return EncodedReader(inner, [3, 16, 16], net(1), map_, "weights", weights), inner


def test_maps_are_those_of_the_network_with_its_weights(tmp_path: Path) -> None:
    encoded, inner = reader(tmp_path, Weights(net(0)))
    samples = encoded.samples(tmp_path, FIELDS)["train"]
    assert (inner.fields["image"].dtype, inner.fields["image"].shape) == ("uint8", [3, 16, 16])
    assert list(samples.notes) == ["seen"] and len(samples.keys) == 70
    found = samples.read(np.arange(70))
    with torch.no_grad():
        wanted = net(0).feature_maps(torch.from_numpy(IMAGES).float() / 255)["stage2"]
    np.testing.assert_allclose(found["image"], wanted.numpy(), rtol=2e-3, atol=2e-3)
    assert found["image"].dtype == np.float16
    assert found["label"].tolist() == list(range(70))
    some = samples.read(np.array([69, 3]))
    np.testing.assert_allclose(some["image"], found["image"][[69, 3]], rtol=2e-3, atol=2e-3)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    wrong = FIELDS | {"image": FieldSettings("float16", [6, 4, 4], ["c", "h", "w"], "activation")}
    with pytest.raises(UserError, match=r"stage2 of such images is float16 \[6, 2, 2\]"):
        reader(tmp_path, Weights(net(0)))[0].samples(tmp_path, wrong)
    with pytest.raises(UserError, match=r"is no map of the encoder\. It has stage1, stage2"):
        reader(tmp_path, Weights(net(0)), "stage9")[0].samples(tmp_path, FIELDS)
    with pytest.raises(UserError, match=r"has no weights for features\.0"):
        reader(tmp_path, Weights(net(0), "features.0"))[0].samples(tmp_path, FIELDS)
    with pytest.raises(UserError, match="Describe image"):
        reader(tmp_path, Weights(net(0)))[0].samples(tmp_path, {"label": FIELDS["label"]})


def test_precomputed_maps_go_through_as_they_are() -> None:
    maps = torch.rand(2, 6, 3, 3)
    backbone = PrecomputedMaps((6, 3, 3), 16)
    assert backbone.feature_maps(maps)["maps"] is maps
    assert (backbone.feature_info[0].num_channels, backbone.feature_info[0].stride) == (6, 16)
