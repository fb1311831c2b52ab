"""An order for truncated backpropagation through time: long samples are cut into windows that follow each
other.

The documents of an epoch, in its shuffled order, are laid end to end as windows of `window` steps; the row
of windows is cut into as many strands of equal length as a batch has samples. A batch takes the next window
of every strand, so that the state after one batch is where the same place of the next one goes on (Williams
& Peng 1990, *An efficient gradient-based algorithm for on-line training of recurrent network trajectories*;
Graves 2013, section 2, arXiv 1308.0850). No window holds two documents: where one begins, the state is
reset.

A window has one step more than it is long: the first of the next window, which the last of this one is to
predict.
"""

from dataclasses import dataclass

import numpy as np

from modules.datamodules.epoch_order import EpochOrder


@dataclass(frozen=True)
class Windows:
    """Some windows.

    Attributes:
        documents: the number of the sample that each lies in.
        offsets: where in it each begins.
        begins: whether the state is reset there.
    """

    documents: np.ndarray
    offsets: np.ndarray
    begins: np.ndarray


def num_windows(lengths: np.ndarray, window: int) -> np.ndarray:
    """How many windows each document has, from its length."""
    return np.maximum(1, -(-(lengths - 1) // window))


class StreamOrder:
    """The windows of one epoch.

    Args:
        order: of the documents.
        lengths: of all documents of the split, by number.
        batch_size: strands, over all processes; the last windows that fill no batch are left out.
        window: steps of a window.
    """

    def __init__(self, order: EpochOrder, lengths: np.ndarray, batch_size: int, window: int) -> None:
        documents = order.numbers(0, order.num_samples)
        counts = num_windows(lengths[documents], window)
        self._documents = np.repeat(documents, counts)
        firsts = np.repeat(np.cumsum(counts) - counts, counts)
        self._offsets = (np.arange(len(self._documents)) - firsts) * window
        self._batch_size = batch_size
        self.num_steps = len(self._documents) // batch_size

    def windows(self, start: int, stop: int) -> Windows:
        """The windows of the steps `start` up to `stop`, each array [steps, batch]."""
        steps = np.arange(start, stop)[:, None]
        places = np.arange(self._batch_size) * self.num_steps + steps
        offsets = self._offsets[places]
        return Windows(self._documents[places], offsets, (offsets == 0) | (steps == 0))
