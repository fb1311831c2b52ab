"""A compiled training learns what the plain one learns; without a compiler it is refused in one line."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.training.compilation import compile_model


class Net(nn.Module):
    """Many small operations; torch compiles no bare nn.Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2), nn.Softplus())

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values) * 2


@pytest.mark.parametrize("variables", [{"PATH": ""}, {"CXX": "no-such-compiler"}])
def test_without_a_compiler_it_is_one_line(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler at run time, and there is no") as caught:
        compile_model(nn.Linear(1, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_compiled_model_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    values = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    trained = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = Net()
        names = list(model.state_dict())
        if compiled:
            compile_model(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for size in (16, 16, 9):
            optimizer.zero_grad()
            model(values[:size]).square().mean().backward()
            optimizer.step()
        assert list(model.state_dict()) == names
        trained.append(model.state_dict())
    assert any(tmp_path.rglob("*.cpp")), "nothing was compiled"
    for name, weight in trained[0].items():
        torch.testing.assert_close(trained[1][name], weight, rtol=1e-4, atol=1e-6)
