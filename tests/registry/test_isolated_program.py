"""A program in a process of its own: the module's answers, limits of memory and time, and an honest end."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.registry.export import Description, export_program, save_program
from modules.registry.isolated_program import IsolatedProgram
from modules.tasks.served import Served, ServedInput, ServedOutput

INPUT = ServedInput("input", "vector", (4,))
OUTPUT = ServedOutput("outputs", "values", (2,), ("a", "b"))


class Large(nn.Module):
    """Asks for gigabytes where its first input is above 1."""

    def forward(self, given: Tensor) -> Tensor:
        size = given.shape[0] * 100_000
        return (given.new_zeros(size, 20_000).sum() + given)[:, :2]


class Slow(nn.Module):
    """Takes seconds."""

    def forward(self, given: Tensor) -> Tensor:
        wide = given.repeat(1, 800).reshape(-1, 1, 3200)
        square = wide.transpose(1, 2) @ wide
        for _ in range(12):
            square = square @ square
        return square[:, :2, 0]


def saved(module: nn.Module, folder: Path) -> Path:
    served = Served(module, (INPUT,), (OUTPUT,))
    program = export_program(served, [torch.rand(2, 4)])
    save_program(program, Description("name", "0", (INPUT,), (OUTPUT,)), folder / "program.pt2")
    return folder / "program.pt2"


def test_it_answers_as_the_module(tmp_path: Path) -> None:
    module = nn.Linear(4, 2)
    program = IsolatedProgram(saved(module, tmp_path))
    given = torch.rand(5, 4)
    with torch.no_grad():
        assert torch.equal(program(given)[0], module(given))
    assert program.description.name == "name"
    with pytest.raises(RuntimeError, match=r"4"):
        program(torch.rand(5, 3))
    assert program(given)[0].shape == (5, 2)


def test_memory_has_a_limit(tmp_path: Path) -> None:
    program = IsolatedProgram(saved(Large(), tmp_path), memory_bytes=1 << 30)
    with pytest.raises(UserError, match=r"program.pt2 wants more memory than 1,024 MiB"):
        program(torch.rand(2, 4))


def test_time_has_a_limit(tmp_path: Path) -> None:
    program = IsolatedProgram(saved(Slow(), tmp_path), answer_s=0.05)
    with pytest.raises(UserError, match=r"program.pt2 gives no answer within 0.05 s"):
        program(torch.rand(2, 4))


def test_a_process_that_dies_is_said(tmp_path: Path) -> None:
    program = IsolatedProgram(saved(nn.Linear(4, 2), tmp_path))
    program._process.kill()
    program._process.join()
    with pytest.raises(UserError, match=r"program.pt2 ended its process \(SIGKILL\)"):
        program(torch.rand(2, 4))


def test_a_file_that_is_no_program_is_refused_there(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"a.pt2 is not a safe exported program"):
        IsolatedProgram(tmp_path / "a.pt2")
