"""Weights to begin from: what fits is kept, what is kept is said, what is dangerous is refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.models.feedforward.perceptron import Perceptron
from modules.training.initial_weights import begin_from


def perceptron(num_classes: int = 10, hidden: int = 8) -> Perceptron:
    return Perceptron([1, 4, 4], num_classes, [hidden, 6])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    torch.save(perceptron().state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_a_new_head_on_a_trained_body(file: Path) -> None:
    model, found = perceptron(num_classes=3), torch.load(file, weights_only=True)
    initial = model.output.linear.weight.clone()
    fit = begin_from(model, file)
    assert fit.new == fit.left_over == ["output.linear.weight", "output.linear.bias"]
    assert torch.equal(model.get_parameter("hidden.0.linear.weight"), found["hidden.0.linear.weight"])
    assert torch.equal(model.output.linear.weight, initial)
    assert fit.num_kept == 16 * 8 + 8 + 8 * 6 + 6 and fit.num_weights == fit.num_kept + 6 * 3 + 3
    assert str(fit).startswith("4 of 6 tensors kept (190 of 211 numbers); new: output.linear.weight, ")


def test_what_is_wanted_anew_is_not_taken(file: Path) -> None:
    model = perceptron()
    initial = model.output.linear.weight.clone()
    assert begin_from(model, file, reinit=["output."]).new == ["output.linear.weight", "output.linear.bias"]
    assert torch.equal(model.output.linear.weight, initial)
    with pytest.raises(UserError, match=r"no weight of Perceptron begins with 'head\.'"):
        begin_from(model, file, reinit=["head."])


def test_a_layer_of_another_size_is_new_as_a_whole(file: Path) -> None:
    """Its bias has the right shape, and nothing to do with the new weights."""
    other = Perceptron([1, 5, 5], 10, [8, 6])
    assert begin_from(other, file).new == ["hidden.0.linear.weight", "hidden.0.linear.bias"]


class Renamed:
    """Weights by other names."""

    def __call__(self, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {name.replace("hidden", "layers"): weight for name, weight in found.items()}


class TextFile:
    """Weights of another format."""

    def read(self, file: Path) -> Mapping[str, Tensor]:
        return {"bias": torch.tensor([float(line) for line in file.read_text().split()])}


def test_through_a_translation(file: Path, tmp_path: Path) -> None:
    assert begin_from(perceptron(), file, Renamed()).kept == ["output.linear.weight", "output.linear.bias"]
    (tmp_path / "bias.txt").write_text("1 2 3")
    layer = nn.Linear(2, 3)
    assert begin_from(layer, tmp_path / "bias.txt", TextFile()).kept == ["bias"]
    assert layer.bias.tolist() == [1, 2, 3]


def test_nothing_that_fits(file: Path) -> None:
    with pytest.raises(
        UserError, match=r"nothing in .* fits Linear: it has hidden.0.linear.weight, .* and 4"
    ):
        begin_from(nn.Linear(2, 2), file)
    with pytest.raises(UserError, match=r"hidden.0.linear.weight is \[8, 16\] there and \[9, 25\] here"):
        begin_from(Perceptron([1, 5, 5], 3, [9]), file)
    with pytest.raises(UserError, match=r"fits Perceptron: fine_tuning.reinit initialises all of it again"):
        begin_from(perceptron(), file, reinit=["hidden.", "output."])
    with pytest.raises(UserError, match=r"output.linear.weight is \[10, 6\] there and \[3, 6\] here"):
        begin_from(perceptron(num_classes=3), file, reinit=["hidden."])


def test_a_file_that_is_no_weights(tmp_path: Path, file: Path) -> None:
    (tmp_path / "damaged.pt").write_bytes(file.read_bytes()[:200])
    torch.save({"lr": 1}, tmp_path / "other.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "pickle.pt")
    torch.save(
        {name: torch.full_like(weight, torch.nan) for name, weight in perceptron().state_dict().items()},
        tmp_path / "nan.pt",
    )
    for name, said in [
        ("missing", "is not there"),
        ("damaged", "nothing of it was run"),
        ("pickle", "nothing of it was run"),
        ("other", "holds no weights by name"),
        ("nan", "holds NaN or infinity"),
    ]:
        with pytest.raises(UserError, match=said):
            begin_from(perceptron(), tmp_path / f"{name}.pt")
