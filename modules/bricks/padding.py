"""Which steps of padded sequences are their own."""

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def kept(
    length: Int[Tensor, " batch"], steps: Shaped[Tensor, "batch time ..."]
) -> Bool[Tensor, "batch time"]:
    """Which of some steps are no padding, from the length of each sample."""
    return torch.arange(steps.shape[1], device=length.device) < length[:, None]
