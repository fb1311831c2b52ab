"""A plan does not wait for what it does not need, and what comes after it finds torch as it was."""

import subprocess
import sys

PROGRAM = """
import sys
from modules.configuration.composition.compose import compose
from modules.shapes.shape_check import check_shapes
check_shapes(compose(["recipe=lenet"]))
needless = {"torch._dynamo", "torch.fx.experimental.symbolic_shapes"}
needless |= {"pytorch_lightning", "lightning_fabric", "torchmetrics"}
print(sorted(needless & sys.modules.keys()))
import torch
from modules.shapes.without_compiler import without_compiler
with without_compiler():
    import torch._dynamo
    print(torch._dynamo.config.__name__)  # whoever asks for the real one gets it
from torch.fx.experimental.symbolic_shapes import ShapeEnv, guard_or_false
assert guard_or_false.__module__ == ShapeEnv.__module__
compiled = torch.compile(lambda value: value + 1, backend="eager")
weight = torch.nn.Parameter(torch.ones(()))
optimizer = torch.optim.SGD([weight], lr=1.0)
compiled(weight).backward()
optimizer.step()
print(weight.item())
"""


def test_a_check_of_shapes_imports_no_compiler_and_no_lightning() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["[]", "torch._dynamo.config", "0.0"]
