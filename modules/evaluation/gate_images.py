"""What opens when: the gates of a few units of a recurrent layer over a text.

As in Karpathy, Johnson & Li (2015), *Visualizing and understanding recurrent networks*, section 4.2, arXiv
1506.02078.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from modules.bricks.recurrent_layer import RecurrentLayer
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary
from modules.evaluation.exhibits import AnnotatedImage, Gallery
from modules.evaluation.grid_image import columns_with_room, grid_image

_UNITS = 8


def gates_over_time(
    model: nn.Module, read: Callable[[], object], vocabulary: Vocabulary, numbers: Sequence[int]
) -> Gallery | None:
    """The gates of the first recurrent layer; None where the model has none, or its cell has no gates.

    The units are those whose gates move the most.

    Args:
        model: any.
        read: lets the model read one text.
        vocabulary: of the text.
        numbers: of the text's tokens; as many of the first are shown as have room.
    """
    layer = next((one for one in model.modules() if isinstance(one, RecurrentLayer)), None)
    if layer is None or not numbers:
        return None
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with torch.inference_mode():
            read()
            gates = layer.open_gates(seen[0][:1, : len(numbers)]) if seen else {}
    finally:
        hook.remove()
    if not gates:
        return None
    opened = {name: values[0].float().cpu().numpy() for name, values in gates.items()}
    moved = np.sum([values.std(0) for values in opened.values()], axis=0)
    units = np.argsort(-moved, kind="stable")[:_UNITS]
    tokens = [
        "" if number in (BEGIN, END) else vocabulary.tokens[number].replace("\n", "\\n") for number in numbers
    ]
    rows = [f"unit {unit}" for unit in units.tolist()]
    tokens = tokens[: columns_with_room(rows)]
    images = [
        AnnotatedImage(f"{name} gate", grid_image(values[: len(tokens), units].T, rows, tokens))
        for name, values in opened.items()
    ]
    caption = (
        f"The {len(units)} units of the first recurrent layer whose gates move the most, over the begin of"
        " a text. White = closed, dark = open."
    )
    return Gallery("gates", "Gates over time", caption, images)
