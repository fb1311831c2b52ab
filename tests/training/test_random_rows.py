"""What is sampled for a share of a batch is what one process samples for the whole of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.distortion import RandomDistortion
from modules.training.random_rows import _RowsOfAll  # pyright: ignore[reportPrivateUsage]

WHOLE = torch.arange(1.0, 6 * 4 * 3 * 2 + 1).view(6, 4, 3, 2) / 200


@pytest.mark.parametrize(
    "sample",
    [
        nn.Dropout(0.5),
        nn.Sequential(nn.Flatten(2), nn.Dropout1d(0.5)),
        nn.Dropout2d(0.5),
        nn.Dropout3d(0.5),
        nn.AlphaDropout(0.5),
        nn.FeatureAlphaDropout(0.5),
        nn.Sequential(nn.Flatten(0, 1), nn.Dropout(0.5), nn.Unflatten(0, (-1, 4))),
        torch.rand_like,
        torch.randn_like,
        torch.bernoulli,
        lambda rows: torch.randint_like(rows, 9),
        lambda rows: torch.rand(rows.shape),
        lambda rows: torch.rand(*rows.shape),
        lambda rows: torch.randn(size=rows.shape),
        lambda rows: torch.rand(7, len(rows)).T,
        lambda rows: torch.randint(9, rows.shape),
        lambda rows: torch.randint(2, 9, (len(rows), 2)),
        lambda rows: torch.normal(rows, 2.0),
        lambda rows: torch.normal(rows, rows),
        lambda rows: torch.normal(0.0, rows),
        lambda rows: torch.normal(0.0, 1.0, rows.shape),
        lambda rows: torch.normal(0.0, 1.0, size=rows.shape),
        lambda rows: rows[:, :, 0, 0].multinomial(2),
        lambda rows: torch.multinomial(rows[:, :, 0, 0], 9, replacement=True),
        lambda rows: rows.bernoulli(),
        lambda rows: rows.clone().bernoulli_(0.5),
        lambda rows: rows.clone().uniform_(1, 2),
        lambda rows: rows.clone().normal_(mean=1.0),
        lambda rows: rows.clone().exponential_(),
        lambda rows: rows + torch.rand(()),
        RandomDistortion(),
    ],
)
@pytest.mark.parametrize("num_shares", [2, 3])
def test_a_share_samples_its_part_of_the_whole(sample: Callable[[Tensor], Tensor], num_shares: int) -> None:
    whole = WHOLE[:, :1].repeat(1, 1, 4, 4) if isinstance(sample, RandomDistortion) else WHOLE
    torch.manual_seed(0)
    expected = [sample(whole), torch.rand(())]
    for number, share in enumerate(whole.chunk(num_shares)):
        torch.manual_seed(0)
        with _RowsOfAll(len(share), number, num_shares):
            found = sample(share)
            after = torch.rand(())
        torch.testing.assert_close(found, expected[0].chunk(num_shares)[number])
        assert torch.equal(after, expected[1])  # the generators stay alike


def test_a_generator_of_ones_own_is_left_alone() -> None:
    with _RowsOfAll(3, 1, 2):
        found = torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_gradients_pass_what_is_kept() -> None:
    share = torch.ones(3, 50, requires_grad=True)
    with _RowsOfAll(3, 1, 2):
        kept = nn.Dropout(0.5)(share)
    kept.sum().backward()
    assert torch.equal(share.grad if share.grad is not None else share, kept.detach())
