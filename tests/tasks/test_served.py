"""What tasks serve, for every recipe: the same by their source and by what they give."""

import pytest
import torch

from modules.configuration.composition.conf_contents import names
from modules.configuration.static_analysis.class_attributes import serves
from modules.tasks.build_task import build_task
from modules.tasks.served import Served, ServedInput, ServedOutput
from tests.made_vocabularies import made_vocabularies
from tests.plans import composed_plan


@pytest.mark.parametrize("recipe", names("recipe"))
def test_the_source_says_whether_a_task_serves(recipe: str) -> None:
    plan = composed_plan(f"recipe={recipe}")
    task = build_task(plan.model, plan.task)
    served = task.served(plan.data, made_vocabularies(plan.data))
    assert (served is not None and served.exported) == serves(plan.task["_target_"])
    if served is None or not served.exported:
        return
    sizes = {symbol: 5 for one in served.inputs for symbol in one.symbols}
    arguments = []
    for one in served.inputs:
        shape = [sizes[size] if isinstance(size, str) else size for size in one.shape]
        arguments.append(torch.ones((2, *shape), dtype=getattr(torch, one.dtype)))
        lengths = torch.tensor([5, 3])
        if one.symbols:
            arguments.append(
                lengths if len(one.symbols) == 1 else lengths[:, None].expand(-1, len(one.symbols))
            )
    with torch.no_grad():
        found = served.module.eval()(*arguments)
    outputs = [found] if isinstance(found, torch.Tensor) else list(found)
    for output, one in zip(outputs, served.outputs, strict=True):
        assert output.ndim == 1 + len(one.shape)
        for axis, size in enumerate(one.shape):
            assert isinstance(size, str) or output.shape[axis + 1] == size


def test_arguments_are_inputs_and_their_lengths() -> None:
    text = ServedInput("text", "text", ("time",), {"kind": "words"})
    image = ServedInput("image", "image", (3, 8, 8))
    served = Served(torch.nn.Identity(), (image, text), (ServedOutput("out", "values", (1,), ("a",)),))
    assert served.arguments == ("image", "text", "text_length")
    assert (text.dtype, image.dtype, text.symbols) == ("int64", "float32", ("time",))
