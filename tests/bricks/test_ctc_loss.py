"""CTC's loss and gradient, against all paths one by one, and against torch in 64 bits."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from modules.bricks.ctc_loss import _by_torch, ctc_loss, fits, frames_needed
from modules.kernels import compiled


def labelling_of(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """B of the paper: repeats merged, then blanks removed."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def lengths_of(targets: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Targets padded by what is no label, and their lengths."""
    lengths = torch.tensor([len(target) for target in targets])
    padded = torch.full((len(targets), max(map(len, targets))), -7)
    for row, target in zip(padded, targets, strict=True):
        row[: len(target)] = torch.tensor(target, dtype=torch.int64)
    return padded, lengths


def with_gradient(logits: Tensor, *others: Tensor, blank: int = 0) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    losses = ctc_loss(logits, *others, blank=blank)
    weights = 2.0 ** torch.arange(len(losses), dtype=losses.dtype)
    (gradient,) = torch.autograd.grad(losses, logits, weights)
    return losses.detach(), gradient / weights[:, None, None].to(gradient.dtype)


def by_torch(
    logits: Tensor, frames: Tensor, targets: Tensor, lengths: Tensor, blank: int = 0
) -> list[Tensor]:
    """One sample after another, in 64 bits, so that nothing of one reaches another."""
    losses, gradients = [], []
    for sample, time, target, length in zip(logits, frames.tolist(), targets, lengths.tolist(), strict=True):
        sample = sample.detach().double().requires_grad_()
        chances = sample[:time].log_softmax(1)
        loss = functional.ctc_loss(
            chances, target[:length], torch.tensor([time]), torch.tensor([length]), blank, reduction="sum"
        )
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, sample)[0])
    return [torch.stack(losses), torch.stack(gradients)]


@pytest.mark.parametrize(("num_labels", "blank"), [(3, 0), (3, 2), (4, 1)])
def test_against_all_paths(num_labels: int, blank: int) -> None:
    """Every labelling of up to 5 frames: repeats, the empty one, and those that do not fit."""
    others = [label for label in range(num_labels) if label != blank]
    targets = [list(one) for size in range(4) for one in itertools.product(others, repeat=size)]
    padded, lengths = lengths_of(targets)
    logits = torch.randn(5, num_labels, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    for time in range(6):
        chances = logits[:time].softmax(1)
        expected = dict.fromkeys(map(tuple, targets), 0.0)
        for path in itertools.product(range(num_labels), repeat=time):
            labelling = labelling_of(path, blank)
            if labelling in expected:
                expected[labelling] += math.prod(float(chances[t, label]) for t, label in enumerate(path))
        frames = torch.full_like(lengths, time)
        batch = logits.expand(len(targets), -1, -1)
        losses, gradient = with_gradient(batch, frames, padded, lengths, blank=blank)
        torch.testing.assert_close(
            (-losses).exp(), torch.tensor(list(expected.values()), dtype=torch.float64)
        )
        possible = fits(frames, padded, lengths)
        assert torch.equal(possible, losses.isfinite()) and not losses.isnan().any()
        assert not gradient[~possible].any() and not gradient[:, time:].any()
        others_losses = _by_torch(batch, frames, padded, lengths, blank)  # of a GPU
        torch.testing.assert_close(others_losses, losses)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([0.1, 1.0, 10.0, 60.0]), st.integers(0, 2**32 - 1))
def test_against_torch(data: st.DataObject, scale: float, seed: int) -> None:
    """Batches of unequal samples: in 32 bits as exact as such numbers are, in 64 more so."""
    generator = torch.Generator().manual_seed(seed)
    num_labels, batch, time = (data.draw(st.integers(*of)) for of in ((2, 9), (1, 11), (1, 60)))
    logits = torch.randn(batch, time, num_labels, generator=generator) * scale
    frames = torch.randint(1, time + 1, (batch,), generator=generator)
    lengths = (torch.rand(batch, generator=generator) * (frames / 2 + 1)).long()
    targets = torch.randint(1, num_labels, (batch, max(1, int(lengths.max()))), generator=generator)
    keep = fits(frames, targets, lengths)
    frames[~keep] = frames_needed(targets, lengths)[~keep].clamp(max=time)
    keep = fits(frames, targets, lengths)
    losses, gradient = with_gradient(logits, frames, targets, lengths)
    exact = by_torch(logits, frames, targets, lengths)
    assert torch.equal(losses.isinf(), ~keep) and not gradient[~keep].any()
    torch.testing.assert_close(losses[keep].double(), exact[0][keep], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient[keep].double(), exact[1][keep], rtol=1e-6, atol=1e-7)
    losses, gradient = with_gradient(logits.double(), frames, targets, lengths)
    torch.testing.assert_close(losses[keep], exact[0][keep], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient[keep], exact[1][keep], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_of_five_thousand_frames(scale: float) -> None:
    """Beside a sample of one frame; sharp probabilities differ by far more than a double holds."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5000, 12, generator=generator) * scale
    logits[0, :, 0] += 2 * scale  # blanks nearly everywhere: paths to late labels lie e^-2000 below
    targets = torch.randint(1, 12, (2, 400), generator=generator)
    batch = logits, torch.tensor([5000, 1]), targets, torch.tensor([400, 1])
    losses, gradient = with_gradient(*batch)
    exact = by_torch(*batch)
    torch.testing.assert_close(losses.double(), exact[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), exact[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("letter", "is_torchs"), [(-38, False), (-300, False), (-400, True)])
def test_sure_and_wrong(letter: float, is_torchs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 letters, each of them rare in every frame; all together are less than a double holds."""
    logits = torch.full((1, 300, 5), float(letter))
    logits[:, :, 0] = 0
    batch = logits, torch.tensor([300]), torch.tensor([[1, 2, 3, 3, 4] * 12]), torch.tensor([60])
    asked = []

    def torchs(*arguments: Any) -> Tensor:
        asked.append(arguments)
        return _by_torch(*arguments)

    monkeypatch.setattr("modules.bricks.ctc_loss._by_torch", torchs)
    losses, gradient = with_gradient(*batch)
    exact = by_torch(*batch)
    torch.testing.assert_close(losses.double(), exact[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), exact[1], rtol=1e-6, atol=1e-7)
    assert bool(asked) is is_torchs


def test_what_a_double_cannot_hold_is_torchs() -> None:
    """A letter at e^-900; a label that cannot be; and beside them a sample that knows nothing of it."""
    logits = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(2))
    logits[0, :, 1] = -900
    logits[1, :, 1] = -torch.inf
    batch = logits, torch.tensor([6, 6, 4]), torch.tensor([[1, 2], [1, 2], [3, 3]]), torch.tensor([2, 2, 2])
    losses, gradient = with_gradient(*batch)
    exact = by_torch(*batch)
    torch.testing.assert_close(losses.double(), exact[0], rtol=1e-6, atol=0)
    assert losses[1] == torch.inf and not gradient[1].any()
    torch.testing.assert_close(gradient[[0, 2]].double(), exact[1][[0, 2]], rtol=1e-6, atol=1e-7)


def test_labels_that_cannot_be_beside_the_target() -> None:
    logits = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(2))
    few = logits[:, :, :3]
    logits[:, :, 3] = -torch.inf
    others = torch.tensor([6]), torch.tensor([[1, 2]]), torch.tensor([2])
    losses, gradient = with_gradient(logits, *others)
    of_few = with_gradient(few, *others)
    torch.testing.assert_close((losses, gradient[:, :, :3]), of_few)
    assert not gradient[:, :, 3].any()


def test_padding_does_not_matter_and_a_fault_stays_where_it_is() -> None:
    logits = torch.randn(5, 20, 6, generator=torch.Generator().manual_seed(3))
    frames = torch.tensor([20, 7, 1, 0, 13])
    targets, lengths = lengths_of([[1, 2, 2, 3], [], [5], [], [4, 4]])
    alone = [
        with_gradient(*(part[n : n + 1] for part in (logits, frames, targets, lengths))) for n in range(5)
    ]
    for fill in (0.0, torch.nan, torch.inf):
        padded = torch.full((5, 31, 6), fill)
        for row, sample, time in zip(padded, logits, frames.tolist(), strict=True):
            row[:time] = sample[:time]
        losses, gradient = with_gradient(padded, frames, targets, lengths)
        assert torch.equal(losses, torch.cat([one for one, _ in alone]))
        assert torch.equal(gradient[:, :20], torch.cat([one for _, one in alone]))
        assert not gradient[:, 20:].any() and losses[3] == 0
    logits[1, 2, 3] = torch.nan
    losses, gradient = with_gradient(logits, frames, targets, lengths)
    assert losses.isnan().tolist() == [False, True, False, False, False]
    assert gradient[[0, 2, 3, 4]].isfinite().all()


def test_of_few_bits_and_of_other_layouts() -> None:
    logits = torch.randn(30, 3, 6, generator=torch.Generator().manual_seed(3)).bfloat16()
    others = (
        torch.tensor([30, 20, 9]),
        torch.tensor([[1, 2, 2], [3, 1, 5], [4, 4, 1]]),
        torch.tensor([3, 2, 3]),
    )
    losses, gradient = with_gradient(logits.transpose(0, 1), *others)
    exact_losses, exact = with_gradient(logits.transpose(0, 1).float(), *others)
    assert losses.dtype == torch.float32 and gradient.dtype == torch.bfloat16
    assert torch.equal(losses, exact_losses)
    torch.testing.assert_close(gradient.float(), exact, rtol=2e-2, atol=1e-3)
    with torch.no_grad():
        assert torch.equal(ctc_loss(logits.transpose(0, 1), *others), losses)


def test_in_threads_as_alone() -> None:
    def of(seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(9, 50, 7, generator=generator)
        targets = torch.randint(1, 7, (9, 10), generator=generator)
        return with_gradient(logits, torch.full((9,), 50), targets, torch.full((9,), 10))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(of, range(12)))
    for seed, one in enumerate(found):
        assert all(torch.equal(left, right) for left, right in zip(one, of(seed), strict=True))


def test_on_the_meta_device_and_once_differentiable() -> None:
    sizes = torch.empty(2, dtype=torch.int64, device="meta")
    logits = torch.empty(2, 5, 4, device="meta", requires_grad=True)
    losses = ctc_loss(logits, sizes, torch.empty(2, 3, dtype=torch.int64, device="meta"), sizes)
    losses.sum().backward()
    assert losses.shape == (2,) and logits.grad is not None
    logits = torch.randn(1, 5, 4, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([5]), torch.tensor([[1]]), torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, logits, torch.ones(1, requires_grad=True), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"frames": [5, 6]}, "frames lie between 5 and 6: 0 to 5"),
        ({"frames": [5, -1]}, "frames lie between -1 and 5"),
        ({"target_lengths": [3, 1]}, "target_lengths lie between 1 and 3: 0 to 2"),
        ({"targets": [[1, 4], [2, 2]]}, "labels 1 to 4: there are 0 to 3"),
        ({"targets": [[1, -1], [2, 2]]}, "labels -1 to 2"),
        ({"targets": [[1, 0], [2, 2]]}, "hold the blank, 0"),
        ({"blank": 4}, "blank=4 is none of the 4 labels"),
    ],
)
def test_what_is_out_of_range_is_said(fault: dict[str, object], message: str) -> None:
    given: dict[str, object] = {
        "frames": [5, 4],
        "targets": [[1, 2], [2, 2]],
        "target_lengths": [2, 1],
        **fault,
    }
    blank = given.pop("blank", 0)
    arguments = {name: torch.tensor(value) for name, value in given.items()}
    with pytest.raises(ValueError, match=message):
        ctc_loss(torch.randn(2, 5, 4), **arguments, blank=blank)  # pyright: ignore[reportArgumentType]


def test_without_a_folder_for_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_folder(signature: str, **options: object):
        asked.append(options.get("cache", False))
        if asked[-1]:
            raise RuntimeError("cannot cache function: no locator available for file")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", no_folder)
    assert compiled.compiled(np.sin, "f8(f8)") is np.sin and asked == [True, False]
