import torch

from modules.bricks.dense import DenseLayer


def test_a_dense_layer_is_f_of_wx_plus_b():
    layer = DenseLayer(3, 2, "sigmoid")
    inputs = torch.randn(5, 3)
    expected = 1 / (1 + torch.exp(-(inputs @ layer.linear.weight.T + layer.linear.bias)))
    torch.testing.assert_close(layer(inputs), expected)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    layer = DenseLayer(8, 400, "sigmoid", dropout=0.25)
    inputs = torch.randn(1, 8)
    dropped = (layer(inputs) == 0).float().mean().item()
    assert 0.15 < dropped < 0.35
    assert torch.equal(layer.eval()(inputs), layer.eval()(inputs))
