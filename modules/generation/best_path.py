"""The most probable path through the frames of connectionist temporal classification, as text.

Graves, Fernandez, Gomez & Schmidhuber (2006), section 3.2, best path decoding: of each frame the most
probable label, of equal neighbours one, and no blanks. Token 0, padding, is the blank.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLANK = 0


def best_path(
    logits: Float[Tensor, "batch frames labels"], frames: Int[Tensor, " batch"]
) -> Int[Tensor, "batch frames"]:
    """The labels of each sample from the left, then 0; it can be part of an exported program.

    Args:
        logits: of each frame.
        frames: of each sample; what follows them does not matter.
    """
    labels = logits.argmax(dim=2)
    before = torch.cat([torch.full_like(labels[:, :1], BLANK), labels[:, :-1]], dim=1)
    inside = torch.arange(labels.shape[1], device=labels.device) < frames[:, None]
    said = (labels != BLANK) & (labels != before) & inside
    places = said.cumsum(dim=1)  # from 1; what is not said goes to 0, which is cut off
    text = torch.zeros_like(torch.cat([labels[:, :1], labels], dim=1))
    return text.scatter(1, places * said, labels * said)[:, 1:]


def spans(logits: Float[Tensor, "frames labels"]) -> list[tuple[int, int, int]]:
    """Each label of the most probable path with the frame where it begins and the one after its last.

    Args:
        logits: of the frames of one sample.
    """
    labels, counts = logits.argmax(dim=1).unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    found = zip(labels.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
    return [(label, begin, end) for label, begin, end in found if label != BLANK]
