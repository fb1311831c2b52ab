"""The net of images to images: any size comes back as it was, its borders are no edges, contrast
does not matter."""

import pytest
import torch

from modules.models.convolutional.image_transformation import ImageTransformation, TransformationNetwork


def network(num_blocks: int = 1) -> TransformationNetwork:
    torch.manual_seed(0)
    return TransformationNetwork((4, 6, 8), num_blocks, "instance").eval()


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (9, 6), (5, 5), (22, 40)])
def test_an_image_keeps_its_size_and_its_range(size: tuple[int, int]) -> None:
    made = network()(torch.rand(2, 3, *size))
    assert made.shape == (2, 3, *size)
    assert made.min() >= 0 and made.max() <= 1


def test_an_image_of_one_colour_has_no_border() -> None:
    """Zeros around it would be an edge."""
    made = network(2)(torch.rand(1, 3, 1, 1).expand(1, 3, 24, 20))
    torch.testing.assert_close(made, made[..., :1, :1].expand_as(made))


def test_contrast_does_not_matter() -> None:
    images = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net = network().double()
    torch.testing.assert_close(net(0.5 * images + 0.2), net(images), rtol=0, atol=1e-3)


def test_images_do_not_reach_each_other() -> None:
    images = torch.rand(3, 3, 16, 16, dtype=torch.float64)
    net = network().double().train()
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]))


def test_the_net_learns_and_the_network_that_looks_does_not() -> None:
    model = ImageTransformation((4, 8), 1, last="conv1_2")
    learned = {name.split(".")[0] for name, one in model.named_parameters() if one.requires_grad}
    assert learned == {"network"}
    assert [info.name for info in model.backbone.feature_info] == ["conv1_1", "conv1_2"]
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(model(images), model.network(images))


def test_a_net_without_filters_is_refused() -> None:
    with pytest.raises(ValueError, match="num_filters is empty"):
        ImageTransformation(())
