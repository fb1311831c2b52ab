"""Fine-tuning: which parts of a model learn, from when on, and how fast.

Frozen lower layers after Yosinski et al. 2014 (arXiv 1411.1792); gradual unfreezing and discriminative
learning rates after Howard & Ruder 2018, sections 3.2 and 3.3 (arXiv 1801.06146). There a layer's rate is
that of the layer above divided by 2.6, which is `lr_decay` = 0.38 here.
"""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from modules.configuration.schema.settings import FineTuningSettings
from modules.models.parts import parts
from modules.tasks.step import Step


def parameter_groups(model: nn.Module, step: Step, lr: float, lr_decay: float) -> list[dict[str, Any]]:
    """What a step learns by part, each group with its learning rate; that of the step's highest part is `lr`.

    Parts that belong to other steps of the task do not count: whatever lies above them, the highest layer of
    each adversary learns at the full rate of its own optimiser.
    """
    groups: list[dict[str, Any]] = []
    of_step, left = set(map(id, step.parameters)), set(map(id, step.learned))
    # From the top down: a parameter that several parts share learns with the highest of them.
    parameters_by_part = [list(part.parameters()) for part in reversed(parts(model))]
    heights = [part for part in parameters_by_part if any(id(one) in of_step for one in part)]
    for height, part in enumerate([list(model.parameters(recurse=False)), *heights]):
        own = [one for one in part if id(one) in left]
        left.difference_update(map(id, own))
        if own:
            groups.append({"params": own, "lr": lr * lr_decay ** max(height - 1, 0)})
    return groups


class Freezing(Callback):
    """Keeps the lowest parts of a model from learning, and lets them begin one by one.

    A frozen part is in evaluation mode: neither its weights nor its running statistics change. A step of the
    task whose parts are all frozen keeps its turns, in which nothing changes.

    Args:
        model: whose parts they are; more than are frozen.
        settings: how many, and for how long.
    """

    def __init__(self, model: nn.Module, settings: FineTuningSettings) -> None:
        self.parts = parts(model)
        self.settings = settings
        frozen = self.parts[: settings.frozen_parts]
        self._own = [[one for one in part.parameters() if one.requires_grad] for part in frozen]

    def num_frozen(self, epoch: int) -> int:
        """Parts that do not learn in an epoch, counted from 0."""
        unfrozen = epoch // self.settings.unfreeze_every_epochs if self.settings.unfreeze_every_epochs else 0
        return max(0, self.settings.frozen_parts - unfrozen)

    def freeze(self, epoch: int) -> None:
        """Sets what learns in an epoch."""
        frozen = self.num_frozen(epoch)
        for number, parameters in enumerate(self._own):
            for parameter in parameters:
                parameter.requires_grad_(number >= frozen)
            if number < frozen:
                self.parts[number].eval()
            else:
                self.parts[number].train()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.freeze(trainer.current_epoch)  # a resumed epoch does not start again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.freeze(trainer.current_epoch)
