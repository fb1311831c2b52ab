"""Connectionist temporal classification: what labels a sequence has, learned without knowing where they are.

Graves, Fernández, Gomez & Schmidhuber (2006), *Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks*, sections 3.1, 4.1 and 4.2. In each frame a network says a
label or `blank`. Such a path becomes a labelling when repeats are merged and then blanks removed, and the
loss is -ln of the probability of all paths that become the target (equations 3 and 12).

On a CPU losses and gradient are computed together, in 64 bits, by `modules.kernels.ctc_alignment`. What that
cannot hold (labels of a target with a probability below 2^-500, for one) and tensors on a GPU go to torch's
own kernel.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def ctc_loss(
    logits: Float[Tensor, "batch time labels"],
    frames: Int[Tensor, " batch"],
    targets: Int[Tensor, "batch longest"],
    target_lengths: Int[Tensor, " batch"],
    blank: int = 0,
) -> Float[Tensor, " batch"]:
    """-ln p(target | logits) of each sample, in nats.

    A target that its frames cannot hold has the loss inf and the gradient 0; `fits` says beforehand which.

    Args:
        logits: before the softmax; 16, 32 or 64 bits. One of -inf is a label that cannot be.
        frames: of each sample, 0 to `time`; what follows them does not matter.
        targets: labels, none of them the blank; what follows `target_lengths` of them does not matter.
        target_lengths: labels of each sample, 0 to `longest`.
        blank: the label that says none.

    Returns:
        In 32 bits, of logits of 64 bits in 64.

    Raises:
        ValueError: on a CPU, a length or a label is out of range.
    """
    if logits.is_meta:  # torch has no kernel there: the shape, and a gradient for the logits
        return logits.to(_kind(logits)).logsumexp(dim=2).sum(dim=1)
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        return _by_torch(logits, frames, targets, target_lengths, blank)
    _check(logits, frames, targets, target_lengths, blank)
    return _CTCLoss.apply(logits, frames, targets, target_lengths, blank)  # pyright: ignore[reportReturnType]


def frames_needed(
    targets: Int[Tensor, "batch longest"], target_lengths: Int[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """The fewest frames that hold each target: one a label, and one for a blank between two alike."""
    places = torch.arange(1, targets.shape[1], device=targets.device)
    repeats = (targets[:, 1:] == targets[:, :-1]) & (places < target_lengths[:, None])
    return target_lengths + repeats.sum(dim=1)


def fits(
    frames: Int[Tensor, " batch"],
    targets: Int[Tensor, "batch longest"],
    target_lengths: Int[Tensor, " batch"],
) -> Bool[Tensor, " batch"]:
    """Which targets their frames can hold: those of a finite loss, unless a logit is -inf."""
    return frames >= frames_needed(targets, target_lengths)


class _CTCLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, frames: Tensor, targets: Tensor, target_lengths: Tensor, blank: int
    ) -> Tensor:
        losses, gradient = _compiled(logits, frames, targets, target_lengths, blank, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * weights[0][:, None, None]).to(ctx.dtype), None, None, None, None


def _compiled(
    logits: Tensor, frames: Tensor, targets: Tensor, target_lengths: Tensor, blank: int, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Losses and the gradient of their sum; unless asked for an empty one."""
    from modules.kernels.ctc_alignment import loss_and_gradient  # numba takes half a second to import

    numbers = logits.detach().to(_kind(logits)).contiguous()
    gradient = torch.empty_like(numbers) if with_gradient else numbers.new_empty(0, 0, 0)
    losses = np.empty(len(numbers))
    loss_and_gradient(numbers.dtype == torch.float64)(
        numbers.numpy(),
        gradient.numpy(),
        frames.numpy().astype(np.int64),
        np.ascontiguousarray(targets.numpy(), dtype=np.int64).view(np.uint64),
        target_lengths.numpy().astype(np.int64),
        blank,
        with_gradient,
        losses,
    )
    found = torch.from_numpy(losses)
    if np.isnan(losses).any():
        rest = found.isnan()
        with torch.enable_grad():
            few = numbers[rest].double().requires_grad_()
            of_few = _by_torch(few, frames[rest], targets[rest], target_lengths[rest], blank)
            found[rest] = of_few.detach()
            if with_gradient:
                gradient[rest] = torch.autograd.grad(of_few.sum(), few)[0].to(gradient.dtype)
    return found.to(numbers.dtype), gradient


def _by_torch(logits: Tensor, frames: Tensor, targets: Tensor, target_lengths: Tensor, blank: int) -> Tensor:
    keep = torch.arange(logits.shape[1], device=logits.device) < frames[:, None]
    numbers = logits.to(_kind(logits)).masked_fill(~keep[:, :, None], 0.0)
    # As `ctc_loss` with `zero_infinity`, which makes gradients 0 where the loss is inf, but leaves the loss.
    log_probabilities = numbers.log_softmax(dim=2).transpose(0, 1)
    return torch.ops.aten._ctc_loss(log_probabilities, targets, frames, target_lengths, blank, True)[0]


def _kind(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _check(logits: Tensor, frames: Tensor, targets: Tensor, target_lengths: Tensor, blank: int) -> None:
    """What the compiled loops rely on."""
    _, time, num_labels = logits.shape
    if not 0 <= blank < num_labels:
        raise ValueError(f"blank={blank} is none of the {num_labels} labels")
    longest = targets.shape[1]
    for name, lengths, most in (("frames", frames, time), ("target_lengths", target_lengths, longest)):
        values = lengths.numpy()
        if len(values) and (values.min() < 0 or values.max() > most):
            raise ValueError(
                f"{name} lie between {values.min()} and {values.max()}: 0 to {most} are possible"
            )
    labels = targets.numpy()[np.arange(longest) < target_lengths.numpy()[:, None]]
    if len(labels) and (labels.min() < 0 or labels.max() >= num_labels):
        raise ValueError(
            f"targets hold labels {labels.min()} to {labels.max()}: there are 0 to {num_labels - 1}"
        )
    if (labels == blank).any():
        raise ValueError(f"targets hold the blank, {blank}, which no labelling has")
