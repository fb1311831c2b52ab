"""Random numbers of a training, so that a resumed run draws what the uninterrupted one would have drawn.

Every epoch starts its generators (torch, NumPy, Python) from the seed and the number of the epoch, at its
first batch: what validation or the start of a loader drew before has no influence. Within an epoch the
generators' states travel in the checkpoint.
"""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class RandomState(Callback):
    """Seeds each epoch; saves and restores the generators in mid-epoch.

    Args:
        seed: the training's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._restored: dict[str, Any] | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            seed_all(self.seed, stream=trainer.current_epoch + 1)
        elif self._restored is not None:
            _set_states(self._restored)
        self._restored = None

    def state_dict(self) -> dict[str, Any]:
        numpy_state = np.random.get_state(legacy=False)
        return {
            "python": random.getstate(),
            "numpy": {
                **numpy_state,
                "state": {**numpy_state["state"], "key": numpy_state["state"]["key"].tolist()},
            },
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict


def seed_all(seed: int, stream: int) -> None:
    """Starts all generators anew: stream 0 draws the initial weights, stream n the n-th epoch."""
    mixed = stream_seed(seed, stream)
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def stream_seed(seed: int, stream: int) -> int:
    """What `seed_all` starts the generators from."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])


def _set_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    numpy_state = states["numpy"]
    key = np.array(numpy_state["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy_state, "state": {**numpy_state["state"], "key": key}})
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
