"""Learning-rate schedules: pure functions of the progress through the training.

A schedule maps progress (0 at the first step, towards 1 at the last) to a factor of the optimiser's
learning rate. It keeps no state, so a resumed run needs the number of the step and nothing else.
"""

import math


class Constant:
    """The learning rate stays what the optimiser says."""

    def __call__(self, progress: float) -> float:
        return 1.0


class WarmupCosine:
    """Linear warm-up, then half a cosine (Loshchilov & Hutter 2017, equation 5, arXiv 1608.03983, without
    restarts).

    Args:
        warmup_fraction: share of the training in which the rate rises from 0 to its full value.
        final_factor: factor at the very end (the paper's eta_min / eta_max).
    """

    def __init__(self, warmup_fraction: float = 0.05, final_factor: float = 0.0) -> None:
        if not 0.0 <= warmup_fraction < 1.0:
            raise ValueError(f"warmup_fraction={warmup_fraction} is outside 0 <= warmup_fraction < 1")
        if final_factor < 0.0:
            raise ValueError(f"final_factor={final_factor} is negative")
        self.warmup_fraction = warmup_fraction
        self.final_factor = final_factor

    def __call__(self, progress: float) -> float:
        if progress < self.warmup_fraction:
            return progress / self.warmup_fraction
        descent = (progress - self.warmup_fraction) / (1.0 - self.warmup_fraction)
        return self.final_factor + (1.0 - self.final_factor) * 0.5 * (1.0 + math.cos(math.pi * descent))
