"""What opens when: the gates of a few units of a recurrent layer over a text.

As in Karpathy, Johnson & Li (2015), *Visualizing and understanding recurrent networks*, section 4.2, arXiv
1506.02078.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from modules.bricks.recurrent_layer import RecurrentLayer
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary
from modules.evaluation.exhibits import AnnotatedImage, Gallery

_UNITS = 8
_WIDTH_PX, _SIDE_PX, _FONT_PX = 1200, 14, 12
_OPEN, _CLOSED = np.array([8, 48, 107]), np.array([255, 255, 255])


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
    images = [
        AnnotatedImage(f"{name} gate", _image(values[:, units], units.tolist(), tokens))
        for name, values in opened.items()
    ]
    caption = (
        f"The {len(units)} units of the first recurrent layer whose gates move the most, over the begin of"
        " a text. White = closed, dark = open."
    )
    return Gallery("gates", "Gates over time", caption, images)


def _image(values: np.ndarray, units: Sequence[int], tokens: Sequence[str]) -> np.ndarray:
    """uint8 [height, width, 3]: a column for each token, a row for each unit; values [time, units]."""
    font = ImageFont.load_default(_FONT_PX)
    names = [f"unit {unit}" for unit in units]
    margin = int(max(font.getlength(name) for name in names)) + 8
    column = max(_SIDE_PX, int(max(font.getlength(token) for token in tokens)) + 4)
    shown = tokens[: max(1, (_WIDTH_PX - margin) // column)]
    image = Image.new("RGB", (margin + column * len(shown), _SIDE_PX * (len(units) + 1) + 2), "white")
    written = ImageDraw.Draw(image)
    for place, token in enumerate(shown):
        middle = margin + column * (place + 0.5)
        written.text((middle, _SIDE_PX / 2), token, fill="black", font=font, anchor="mm")
    for row, name in enumerate(names, 1):
        top = _SIDE_PX * row + 2
        written.text((margin - 6, top + _SIDE_PX / 2), name, fill="black", font=font, anchor="rm")
        for place in range(len(shown)):
            opened = values[place, row - 1]
            colour = (opened * _OPEN + (1 - opened) * _CLOSED).round().astype(int).tolist()
            left = margin + column * place
            box = (left, top, left + column - 1, top + _SIDE_PX - 1)
            written.rectangle(box, fill=tuple(colour), outline=(235, 235, 235))
    return np.asarray(image)
