"""Operations on the meta device, answered from memory: as they would have been, only where that is sure."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from modules.shapes.calls import tensors
from modules.shapes.remembered_shapes import RememberedShapes

OPERATIONS: dict[str, Callable[[Tensor], Any]] = {
    "broadcast": lambda x: x + x[:, :1],
    "transposed": lambda x: x.T * 2,
    "by type": lambda x: (x > 0, x.to(torch.float64), x.int() / 2),
    "reduced": lambda x: (x.sum(), x.mean(dim=1, keepdim=True), x.max(dim=0)),
    "product": lambda x: x @ x.T,
    "in place": lambda x: x.clone().sigmoid_().mul_(2),
    "convolved": lambda x: functional.conv1d(x[None], torch.empty(4, 6, 3, device="meta"), padding=1),
    "normalised": lambda x: functional.batch_norm(x, None, None, training=True),
    "split": lambda x: x.chunk(3, dim=1),
    "taken without care": lambda x: torch.unsafe_chunk(x, 2, dim=1),
    "resized": lambda x: x.clone().resize_(3, 5),
    "concatenated": lambda x: torch.cat([x, x]),
    "without a tensor": lambda x: torch.arange(7, device="meta"),
}


def _layouts(result: Any) -> list[Any]:
    return [(one.shape, one.stride(), one.dtype, one.device.type) for one in tensors(result)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_what_it_gave_without_memory(name: str) -> None:
    operation = OPERATIONS[name]
    given = torch.empty(6, 6, device="meta")
    expected = operation(given)
    with RememberedShapes():
        for _ in range(3):
            found = operation(given)
            assert _layouts(found) == _layouts(expected)
            for ours, theirs in zip(tensors(found), tensors(expected), strict=True):
                assert ours.untyped_storage().nbytes() == theirs.untyped_storage().nbytes()


def test_what_shares_its_memory_goes_on_sharing_it() -> None:
    given = torch.empty(6, 6, device="meta")
    with RememberedShapes():
        for _ in range(3):
            made = given.clone()
            for part in (*made.unbind(), *torch.unsafe_chunk(made, 2), made.add_(1)):
                assert part.untyped_storage()._cdata == made.untyped_storage()._cdata
            assert made.untyped_storage()._cdata != given.untyped_storage()._cdata


def test_a_gradient_is_of_the_right_shape_and_every_time_another_tensor() -> None:
    weight = torch.empty(6, 4, device="meta", requires_grad=True)
    with RememberedShapes():
        gradients = []
        for _ in range(2):
            ((torch.empty(3, 6, device="meta") @ weight).tanh().sum()).backward()
            gradients.append(weight.grad)
            weight.grad = None
    assert [one.shape for one in gradients if one is not None] == [weight.shape] * 2
    assert gradients[0] is not gradients[1]


def test_other_sizes_other_answers_and_errors_again() -> None:
    with RememberedShapes():
        for size in (2, 3, 2):
            assert (torch.empty(size, 5, device="meta") + 1).shape == (size, 5)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                torch.mm(torch.empty(2, 3, device="meta"), torch.empty(2, 3, device="meta"))


def test_numbers_of_a_cpu_are_computed() -> None:
    with RememberedShapes():
        assert [(torch.tensor([value]) * 2).item() for value in (1, 2, 3)] == [2, 4, 6]
