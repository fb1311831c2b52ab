import pytest
import torch

from modules.bricks.inverted_residual import InvertedResidual


def test_where_the_last_convolution_is_silent_the_input_goes_through():
    block = InvertedResidual(8, 8, kernel_size=5).eval()
    torch.nn.init.zeros_(block.get_parameter("project.normalisation.weight"))
    maps = torch.randn(2, 8, 7, 7)
    assert torch.equal(block(maps), maps)


@pytest.mark.parametrize(("num_filters", "stride"), [(8, 2), (12, 1)])
def test_another_shape_has_no_shortcut(num_filters, stride):
    block = InvertedResidual(8, num_filters, stride=stride).eval()
    torch.nn.init.zeros_(block.get_parameter("project.normalisation.weight"))
    answer = block(torch.randn(2, 8, 7, 7))
    assert answer.shape == (2, num_filters, -(-7 // stride), -(-7 // stride)) and not answer.any()


def test_an_expansion_of_one_has_two_convolutions():
    def count(block):
        return sum(isinstance(module, torch.nn.Conv2d) for module in block.modules())

    assert count(InvertedResidual(8, 8, expansion=1)) == 2
    assert count(InvertedResidual(8, 8)) == 3
