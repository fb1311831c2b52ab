"""The model as a program of fused kernels, by torch.compile (Ansel et al. 2024, *PyTorch 2*, ASPLOS)."""

import os
import shutil

from torch import nn

from modules.configuration.errors import UserError

_COMPILERS = ("g++", "c++", "clang++")


def compile_model(model: nn.Module) -> None:
    """Compiles what a call of the model computes, when it is first called; its state dict stays as it is.

    Bits differ from those without, and random numbers are other ones. Sizes that change from batch to batch
    are compiled as symbols after the first change.

    Raises:
        UserError: there is no C++ compiler, which torch.compile calls for a CPU and for a GPU alike.
    """
    named = os.environ.get("CXX")
    if not any(shutil.which(one) for one in ([named] if named else _COMPILERS)):
        raise UserError(
            f"trainer.compile needs a C++ compiler at run time, and there is no {named or 'g++'} here",
            "Install g++, set CXX to another, or leave trainer.compile=false",
        )
    model.compile()
