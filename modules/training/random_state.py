"""Random numbers of a training, so that a resumed run samples what the uninterrupted one would have sampled.

Every epoch starts its generators (torch, NumPy, Python) from the seed and the number of the epoch, at its
first batch: what validation or the start of a loader sampled before has no influence. Within an epoch the
generators' states travel in the checkpoint. Processes that train together sample alike, each for all (see
`modules.training.random_rows`); their states differ only where the sizes of samples do, so all of them are in
the checkpoint. Where they do, another number of processes goes on from seed, epoch and step.
"""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from modules.training.data_parallel import all_workers, rank, world_size


class RandomState(Callback):
    """Seeds each epoch; saves and restores the generators in mid-epoch.

    Args:
        seed: the training's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._restored: list[dict[str, Any]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        stream = trainer.current_epoch + 1
        if batch_idx == 0:
            seed_all(self.seed, stream)
        elif len(self._restored) == world_size():
            _set_states(self._restored[rank()])
        elif self._restored and all(_same(states, self._restored[0]) for states in self._restored):
            _set_states(self._restored[0])
        elif self._restored:
            seed_all(self.seed, stream, trainer.global_step)
        self._restored = []

    def state_dict(self) -> dict[str, Any]:
        return {"by_rank": all_workers(_states())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict["by_rank"]


def seed_all(seed: int, stream: int, step: int = 0) -> None:
    """Seeds all generators: stream 0 gives the initial weights, stream n the n-th epoch."""
    mixed = stream_seed(seed, stream, step)
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def stream_seed(seed: int, stream: int, step: int = 0) -> int:
    """What `seed_all` starts the generators from."""
    return int(np.random.SeedSequence([seed, stream, 0, step]).generate_state(1)[0])


def _states() -> dict[str, Any]:
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


def _same(states: dict[str, Any], other: dict[str, Any]) -> bool:
    tensors, others = ([one["torch"], *one["cuda"]] for one in (states, other))
    return (
        all(states[name] == other[name] for name in ("python", "numpy"))
        and len(tensors) == len(others)
        and all(map(torch.equal, tensors, others))
    )


def _set_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    numpy_state = states["numpy"]
    key = np.array(numpy_state["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy_state, "state": {**numpy_state["state"], "key": key}})
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
