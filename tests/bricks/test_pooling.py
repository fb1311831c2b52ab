import pytest
import torch

from modules.bricks.pooling import PoolingLayer

PICTURE = torch.arange(16.0).reshape(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("kind", "expected"), [("max", [[5, 7], [13, 15]]), ("average", [[2.5, 4.5], [10.5, 12.5]])]
)
def test_each_window_becomes_one_number(kind, expected):
    assert PoolingLayer(kind)(PICTURE)[0, 0].tolist() == expected


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="pooling='mean' is none of max, average"):
        PoolingLayer("mean")
